"""What the assistant wrote, from the rule itself: prefixes of the conversation are rendered by the
tokenizer's public method and compared. Nothing here knows how Forge finds it.

The span of a turn goes from the end of what `add_generation_prompt` writes before it to the end of turn.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from tests.templates.tokenizers_of import applied

TOKEN = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
ENDS = re.compile(
    r"<\|(?:im_end|end|return|call|eot_id|eot|eom_id|assistant_end|END_OF_TURN_TOKEN|endoftext|message_sep|end_of_text"
    r"|endofmessage|end_of_role|eom|separator|end_of_turn|sep)\|>"
    r"|</s>|<end_of_turn>|<turn\|>|<eos>|<｜end▁of▁sentence｜>|<\|tool_response>|\[e~\[|<end>|<｜hy_eos[^｜]*｜>"
)
"""Ends of turns, as the models' own configurations name them."""


WORDED = ("content", "text", "reasoning_content", "thinking", "reasoning")


def shared(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071 (texts, not paths)


def whole_tokens(text: str, at: int) -> int:
    """The place before the token that a place is inside of."""
    return next((t.start() for t in TOKEN.finditer(text) if t.start() < at < t.end()), at)


def tame(value: Any, names: Iterator[int] | None = None, key: str = "") -> Any:
    """A conversation whose texts are plain words, each another: prefixes show where these begin and end."""
    names = count() if names is None else names
    if isinstance(value, dict):
        return {name: tame(part, names, name) for name, part in value.items()}
    if isinstance(value, list):
        return [tame(part, names, key) for part in value]
    if not isinstance(value, str) or not value or key not in WORDED:
        return value
    number = next(names)
    word = f"say{number} word{number}"
    return f"<think>\nfirst {word}\n</think>\n\n{word}" if value.startswith("<think>\n") else word


def required_spans(tokenizer: Any, row: dict[str, Any]) -> list[tuple[int, int] | None] | None:
    """A span for each of the assistant's messages, None for those that prefixes do not show; None where the
    row is refused."""
    whole = applied(tokenizer, row)
    if not isinstance(whole, str):
        return None
    messages = row["messages"]
    return [
        required_span(tokenizer, row, whole, number)
        for number, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight", 1) and message.get("train", True)
    ]


def required_span(tokenizer: Any, row: dict[str, Any], whole: str, number: int) -> tuple[int, int] | None:
    roles = [message["role"] for message in row["messages"]]
    if "assistant" in (*roles[number + 1 : number + 2], *roles[:number][-1:]):
        return None  # of two turns in a row, nothing at inference shows where the one ends
    start, end = _start(tokenizer, row, whole, number), _end(tokenizer, row, whole, number)
    return None if start is None or end is None or end <= start else (start, end)


def _start(tokenizer: Any, row: dict[str, Any], whole: str, number: int) -> int | None:
    before = {**row, "messages": row["messages"][:number]}
    prompt = applied(tokenizer, before, add_generation_prompt=True)
    bare = applied(tokenizer, before)
    if not isinstance(prompt, str) or not isinstance(bare, str):
        return None
    at = shared(whole, prompt)
    if at == len(prompt):  # a line break before a turn that nothing opens may be of either side
        return None if prompt == bare and whole[at : at + 1] == "\n" else at
    if whole[at:].lstrip().startswith(prompt[at:].lstrip()):
        return None  # but for white space before it, the turn begins with the prompt
    at = whole_tokens(prompt, at)  # what it writes is not what the turn begins with
    return at if at >= shared(bare, prompt) else None


def _always_opens(tokenizer: Any, row: dict[str, Any], number: int) -> bool:
    """Does the template open a turn of the assistant behind every conversation?"""
    before = {**row, "messages": row["messages"][:number]}
    bare, prompt = applied(tokenizer, before), applied(tokenizer, before, add_generation_prompt=True)
    closed = applied(tokenizer, {**row, "messages": row["messages"][: number + 1]})
    return bare == prompt and shared(str(bare)[::-1], str(closed)[::-1]) > 0


def _end(tokenizer: Any, row: dict[str, Any], whole: str, number: int) -> int | None:
    if _always_opens(tokenizer, row, number):
        return None
    if number == len(row["messages"]) - 1:
        closed = whole
    else:
        text = applied(tokenizer, {**row, "messages": row["messages"][: number + 1]})
        if not isinstance(text, str):
            return None
        closed = text
    ends = [end for end in ENDS.finditer(closed) if not closed[end.end() :].strip()]
    bare = ends[-1].start() if ends else len(closed.rstrip())
    if shared(whole, closed) < bare:
        return None
    following = ENDS.match(whole, bare)
    if following:
        return following.end()
    return bare if not ends and shared(whole, closed) >= bare else None
