"""Two texts of a cluster, with what differs between them marked."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

import orjson

MOST_WORDS = 240
_WORD = re.compile(r"\s+|\w+|[^\w\s]")

SAME, GONE, NEW = 0, 1, 2

Piece = tuple[int, str]


def difference(one: str, other: str) -> list[Piece]:
    """`other` beside `one`, word by word: what both have, what only `one` has, what only `other` has.

    Of long texts the first MOST_WORDS words are compared.
    """
    if one == other:
        return [(SAME, one)]
    first, second = _WORD.findall(one)[:MOST_WORDS], _WORD.findall(other)[:MOST_WORDS]
    pieces: list[Piece] = []
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    for operation, begin, end, begin_other, end_other in matcher.get_opcodes():
        if operation == "equal":
            pieces.append((SAME, "".join(first[begin:end])))
            continue
        if end > begin:
            pieces.append((GONE, "".join(first[begin:end])))
        if end_other > begin_other:
            pieces.append((NEW, "".join(second[begin_other:end_other])))
    return pieces


def readable(source: bytes) -> str:
    """A record as lines of `key: text`; what is not a JSON object as it is."""
    try:
        record = orjson.loads(source)
    except ValueError:
        return source.decode("utf-8", "replace")
    if not isinstance(record, dict):
        return source.decode("utf-8", "replace")
    return "\n".join(f"{key}: {_text(value)}" for key, value in record.items())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return "".join(f"\n  {_message(item)}" for item in value)
    return orjson.dumps(value).decode()


def _message(item: dict[str, Any]) -> str:
    role = item.get("role", item.get("from"))
    content = item.get("content", item.get("value"))
    if isinstance(role, str) and isinstance(content, str):
        return f"{role}: {content}"
    return orjson.dumps(item).decode()
