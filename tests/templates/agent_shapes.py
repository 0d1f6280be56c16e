"""Conversations of agents and reasoners: the shapes on which chat templates differ most, with contents that
are hard on them. A shape makes a row: its messages, and its tools where it has some."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.templates.chat_cases import TOOL, call, message, parts, text, turns

Row = dict[str, Any]
Make = Callable[[random.Random], Row]
NESTED_TOOL = {
    "type": "function",
    "function": {
        "name": "book_flight",
        "description": 'Books "flights" é',
        "parameters": {
            "type": "object",
            "properties": {
                "leg": {
                    "type": "object",
                    "properties": {"to": {"type": ["string", "null"], "default": None}},
                },
                "seats": {"type": "integer", "enum": [1, 2, 3]},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "<tags> & more"},
            },
            "required": [],
        },
        "strict": None,
        "return": {"type": "string"},
    },
}
NUMBERS = [0, -1, 7, 10**6, 10**15, 2**63, 10**20, -(10**19)]
FLOATS = [0.5, -1.25, 3.0, 1e-7, 1e16, 123456.789, 0.1, -0.0, 1.5e300, 5e-324]


def named(rng: random.Random, arguments: Any, name: str = "get_weather", **more: Any) -> Row:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call{rng.randrange(10**5):05d}", "type": "function", "function": function, **more}


def calling(rng: random.Random, *calls: Row, content: Any = "", **more: Any) -> Row:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **more}


def results(rng: random.Random, answer: Row) -> list[Row]:
    return [
        {
            "role": "tool",
            "tool_call_id": made.get("id", "call00001"),
            "name": made["function"]["name"],
            "content": text(rng),
        }
        for made in answer["tool_calls"]
    ]


def with_calls(rng: random.Random, *calls: Row, tools: Any = (TOOL, NESTED_TOOL), **more: Any) -> Row:
    """A question, the calls in one turn, what they gave, the answer."""
    answer = calling(rng, *calls, **more)
    messages = [message(rng, "user"), answer, *results(rng, answer), message(rng, "assistant")]
    return {"messages": messages} | ({} if tools is None else {"tools": list(tools)})


def key(rng: random.Random) -> str:
    return rng.choice(["key", "é", 'a"b', "x y", "items", "get", "name", "content"]) + str(
        rng.randrange(10**6)
    )


def nested(rng: random.Random, depth: int = 3) -> Any:
    leaf: list[Any] = [None, True, False, rng.choice(NUMBERS), rng.choice(FLOATS), text(rng), "", [], {}]
    if not depth or rng.random() < 0.4:
        return rng.choice(leaf)
    if rng.random() < 0.5:
        return [nested(rng, depth - 1) for _ in range(rng.randrange(3))]
    return {key(rng): nested(rng, depth - 1) for _ in range(rng.randrange(3))}


def trajectory(rng: random.Random, rounds: int, **more: Any) -> Row:
    """Rounds of one or two calls each, from a system prompt to the answer."""
    messages = [message(rng, "system"), message(rng, "user")]
    for _ in range(rounds):
        calls = [
            named(rng, {"city": text(rng), "n": rng.randrange(99)}) for _ in range(rng.choice([1, 1, 2]))
        ]
        extra = {name: make(rng) for name, make in more.items()}
        answer = calling(rng, *calls, content=rng.choice(["", text(rng)]), **extra)
        messages += [answer, *results(rng, answer)]
    return {"messages": [*messages, message(rng, "assistant")], "tools": [TOOL, NESTED_TOOL]}


def reasoned(name: str) -> Make:
    def make(rng: random.Random) -> Row:
        first = message(rng, "assistant", **{name: text(rng)})
        last = message(rng, "assistant", **{name: text(rng)})
        return {"messages": [message(rng, "user"), first, message(rng, "user"), last]}

    return make


def nulls(**keys: Any) -> Make:
    """A turn with a call and one without, whose messages have these keys."""

    def make(rng: random.Random) -> Row:
        answer = calling(rng, call(rng, False)) | keys
        if "tool_calls" in keys:
            return {"messages": [message(rng, "user") | {"name": None}, message(rng, "assistant") | keys]}
        return {"messages": [message(rng, "user"), answer, *results(rng, answer), message(rng, "assistant")]}

    return make


def of_messages(make: Callable[[random.Random], list[Row]], tools: Any = None) -> Make:
    return lambda rng: {"messages": make(rng)} | ({} if tools is None else {"tools": tools})


SHAPES: dict[str, Make] = {
    # plain chat
    "one turn": of_messages(lambda rng: turns(rng, 2)),
    "system, three turns": of_messages(lambda rng: [message(rng, "system"), *turns(rng, 6)]),
    "prompt only": of_messages(lambda rng: turns(rng, 3)),
    "assistant first": of_messages(lambda rng: turns(rng, 4)[1:]),
    "assistant twice": of_messages(lambda rng: [*turns(rng, 2), message(rng, "assistant")]),
    "user twice": of_messages(lambda rng: [message(rng, "user"), *turns(rng, 2)]),
    "system amid": of_messages(lambda rng: [*turns(rng, 2), message(rng, "system"), *turns(rng, 2)]),
    "empty contents": of_messages(lambda rng: [{**m, "content": ""} for m in turns(rng, 4)]),
    # tools
    "tools, no call": of_messages(lambda rng: turns(rng, 2), [TOOL, NESTED_TOOL]),
    "tools, system": of_messages(lambda rng: [message(rng, "system"), *turns(rng, 2)], [NESTED_TOOL]),
    "empty tools": of_messages(lambda rng: turns(rng, 2), []),
    "null tools": lambda rng: {"messages": turns(rng, 2), "tools": None},
    "bare tools": of_messages(lambda rng: turns(rng, 2), [TOOL["function"]]),
    "one call": lambda rng: with_calls(rng, named(rng, {"city": text(rng)})),
    "call without tools": lambda rng: with_calls(rng, named(rng, {"city": text(rng)}), tools=None),
    "no arguments": lambda rng: with_calls(rng, named(rng, {})),
    "arguments as text": lambda rng: with_calls(rng, named(rng, json.dumps({"city": text(rng)}))),
    "arguments as other text": lambda rng: with_calls(rng, named(rng, text(rng))),
    "integers": lambda rng: with_calls(rng, named(rng, {"a": rng.choice(NUMBERS), "b": rng.choice(NUMBERS)})),
    "floats": lambda rng: with_calls(rng, named(rng, {"a": rng.choice(FLOATS), "b": [rng.choice(FLOATS)]})),
    "truths and nulls": lambda rng: with_calls(rng, named(rng, {"a": True, "b": None, "c": [False, None]})),
    "nested arguments": lambda rng: with_calls(rng, named(rng, {"x": nested(rng), key(rng): nested(rng)})),
    "unique keys": lambda rng: with_calls(rng, named(rng, {key(rng): text(rng), key(rng): 1})),
    "content and call": lambda rng: with_calls(rng, named(rng, {"city": "x"}), content=text(rng)),
    "parallel calls": lambda rng: with_calls(
        rng,
        *[named(rng, {"city": text(rng), "n": k}, ("get_weather", "book_flight")[k % 2]) for k in range(3)],
    ),
    "call at the end": of_messages(
        lambda rng: [message(rng, "user"), calling(rng, named(rng, {"city": "x"}))], [TOOL]
    ),
    "call without id": of_messages(
        lambda rng: [
            message(rng, "user"),
            calling(
                rng,
                {"type": "function", "function": {"name": "get_weather", "arguments": {"city": text(rng)}}},
            ),
            {"role": "tool", "content": text(rng)},
            message(rng, "assistant"),
        ],
        [TOOL],
    ),
    "bare call": of_messages(
        lambda rng: [
            message(rng, "user"),
            calling(rng, {"name": "get_weather", "arguments": {"city": text(rng)}}),
        ],
        [TOOL],
    ),
    "result as object": of_messages(
        lambda rng: [
            message(rng, "user"),
            calling(rng, named(rng, {"city": "x"})),
            {"role": "tool", "name": "get_weather", "content": {"degrees": 21, "sky": text(rng)}},
            message(rng, "assistant"),
        ],
        [TOOL],
    ),
    "rounds of calls": lambda rng: trajectory(rng, rng.randint(2, 5)),
    "rounds, reasoning": lambda rng: trajectory(rng, rng.randint(1, 3), reasoning_content=text),
    "calls over turns": lambda rng: {
        "messages": [*trajectory(rng, 1)["messages"], *trajectory(rng, 2)["messages"][1:]],
        "tools": [TOOL],
    },
    # reasoning
    "reasoning_content": reasoned("reasoning_content"),
    "thinking": reasoned("thinking"),
    "reasoning": reasoned("reasoning"),
    "reasoning under two names": of_messages(
        lambda rng: [message(rng, "user"), message(rng, "assistant", reasoning=text(rng), thinking="t")]
    ),
    "think in content": of_messages(
        lambda rng: [
            m if m["role"] == "user" else {**m, "content": f"<think>\n{text(rng)}\n</think>\n\n{text(rng)}"}
            for m in turns(rng, 4)
        ]
    ),
    "reasoning and calls": lambda rng: with_calls(
        rng, named(rng, {"city": "x"}), reasoning_content=text(rng)
    ),
    # nulls
    "null content": nulls(content=None),
    "null calls": nulls(tool_calls=None, refusal=None, function_call=None),
    "null reasoning": nulls(reasoning_content=None, thinking=None),
    "absent content": of_messages(
        lambda rng: [message(rng, "user"), {"role": "assistant", "tool_calls": [call(rng, False)]}]
    ),
    "null user": of_messages(lambda rng: [{"role": "user", "content": None}, message(rng, "assistant")]),
    "null system": of_messages(lambda rng: [{"role": "system", "content": None}, *turns(rng, 2)]),
    "empty calls": of_messages(lambda rng: [message(rng, "user"), message(rng, "assistant", tool_calls=[])]),
    # parts
    "parts": of_messages(lambda rng: [parts(rng, "system"), parts(rng, "user"), message(rng, "assistant")]),
    "all parts": of_messages(lambda rng: [parts(rng, "user"), parts(rng, "assistant")]),
    "image part": of_messages(
        lambda rng: [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text(rng)}]},
            message(rng, "assistant"),
        ]
    ),
    "text-only part": of_messages(
        lambda rng: [{"role": "user", "content": [{"text": text(rng)}]}, message(rng, "assistant")]
    ),
    # roles and other keys
    "developer": of_messages(lambda rng: [message(rng, "developer"), *turns(rng, 2)]),
    "odd role": of_messages(lambda rng: [*turns(rng, 2), message(rng, "critic"), message(rng, "assistant")]),
    "ipython": of_messages(lambda rng: [*turns(rng, 2), message(rng, "ipython"), message(rng, "assistant")]),
    "names and weights": of_messages(
        lambda rng: [message(rng, "user", name="Ann"), message(rng, "assistant", weight=0, train=False)]
    ),
}


def rows_of(shape: str, count: int, seed: int) -> list[Row]:
    rng = random.Random(f"{shape} {seed}")
    return [SHAPES[shape](rng) for _ in range(count)]
