"""Conversations that are hard on chat templates: shapes, and contents that look like markup."""

from __future__ import annotations

import random
from typing import Any

WHITE = [chr(c) for c in [*range(9, 14), *range(28, 33), 133, 160, 5760, *range(8192, 8203), 8232, 8233]]
WHITE += ["\u202f", "\u205f", "\u3000"]
MARKUP = """</think> <think> <|im_end|> <|im_start|> </s> <s> [INST] [/INST] <|eot_id|> <tool_call>
</tool_call> <tool_response> </tool_response> <<SYS>> /no_think /think { } {{ }} {% %} { \\ " ' < > & /
None 0 1.5 true system a
Hello wörld 日本語 😀 \ue000 \ue0001\ue001 \ue002"""
PIECES = [*WHITE, *MARKUP.split(), "", " ", "\n", "\n\n", "\x00", "<think>\n", "\n</think>\n\n"]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a <city> & more",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def text(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.choice([0, 1, 1, 2, 3, 6, 12])))


def message(rng: random.Random, role: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text(rng), **more}


def turns(rng: random.Random, count: int) -> list[dict[str, Any]]:
    return [message(rng, ("user", "assistant")[number % 2]) for number in range(count)]


def parts(rng: random.Random, role: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text(rng)} for _ in range(rng.choice([1, 2]))]
    return {"role": role, "content": content}


def call(rng: random.Random, as_text: bool) -> dict[str, Any]:
    arguments: Any = '{"city": "Bonn"}' if as_text else {"city": text(rng)}
    return {
        "id": "call00001",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }


PLAIN_SHAPES = {
    "single": lambda rng: turns(rng, 2),
    "system": lambda rng: [message(rng, "system"), *turns(rng, 2)],
    "three_turns": lambda rng: turns(rng, 6),
    "system_three_turns": lambda rng: [message(rng, "system"), *turns(rng, 6)],
    "prompt_only": lambda rng: turns(rng, 1),
    "prompt_after_turn": lambda rng: turns(rng, 3),
    "assistant_first": lambda rng: turns(rng, 3)[1:],
    "tool_result": lambda rng: [*turns(rng, 2), message(rng, "tool"), message(rng, "assistant")],
}
OTHER_SHAPES = {
    "tool_calls": lambda rng: [
        message(rng, "user"),
        {**message(rng, "assistant"), "tool_calls": [call(rng, False)]},
        message(rng, "tool", name="get_weather", tool_call_id="call00001"),
        message(rng, "assistant"),
    ],
    "tool_calls_text": lambda rng: [
        message(rng, "user"),
        {"role": "assistant", "content": None, "tool_calls": [call(rng, True), call(rng, True)]},
        message(rng, "tool"),
        message(rng, "tool"),
        message(rng, "assistant"),
    ],
    "reasoning": lambda rng: [*turns(rng, 3), message(rng, "assistant", reasoning_content=text(rng))],
    "thinking": lambda rng: [message(rng, "user"), message(rng, "assistant", thinking=text(rng))],
    "parts": lambda rng: [parts(rng, "system"), parts(rng, "user"), message(rng, "assistant")],
    "all_parts": lambda rng: [parts(rng, "user"), parts(rng, "assistant")],
    "none_content": lambda rng: [message(rng, "user"), {"role": "assistant", "content": None}],
    "no_content": lambda rng: [message(rng, "user"), {"role": "assistant"}],
    "names": lambda rng: [message(rng, "user", name="Ann"), message(rng, "assistant", weight=0)],
}


def conversations(shape: str, count: int, seed: int) -> list[list[dict[str, Any]]]:
    rng = random.Random(f"{shape} {seed}")
    make = PLAIN_SHAPES.get(shape) or OTHER_SHAPES[shape]
    return [make(rng) for _ in range(count)]
