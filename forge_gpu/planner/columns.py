"""What kinds of values stand in each column of a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

NOTHING = frozenset({"null", "empty"})


@dataclass(slots=True)
class Column:
    """present: records that have the key. kinds: kind -> how many. characters: of all texts together."""

    name: str
    present: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    longest: int = 0

    @property
    def kind(self) -> str:
        """The commonest kind of those that say something; `empty` or `null` where nothing does."""
        telling = [(n, kind) for kind, n in self.kinds.items() if kind not in NOTHING]
        return max(telling)[1] if telling else next(iter(self.kinds), "null")

    @property
    def mean(self) -> float:
        texts = self.kinds["text"] + self.kinds["empty"]
        return self.characters / texts if texts else 0.0


def columns_of(records: Iterable[dict[str, Any]]) -> dict[str, Column]:
    """Every column of the records, in the order of their first appearance."""
    found: dict[str, Column] = {}
    for record in records:
        for name, value in record.items():
            column = found.setdefault(name, Column(name))
            column.present += 1
            column.kinds[kind_of(value)] += 1
            if isinstance(value, str):
                column.characters += len(value)
                column.longest = max(column.longest, len(value))
    return found


def kind_of(value: Any) -> str:
    """null, empty, text, number, bool, message, messages, nested (messages in lists), texts, list, object."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "message" if is_message(value) else "object"
    if isinstance(value, list):
        return _kind_of_list(value)
    return "number"  # numbers, and the dates and decimals of a Parquet file, which are written as their text


def is_message(value: Any) -> bool:
    return isinstance(value, dict) and (
        ("role" in value and bool(value.keys() & {"content", "value", "tool_calls"}))
        or ("from" in value and "value" in value)
    )


def messages_in(value: Any) -> list[dict[str, Any]]:
    """The messages of a value of kind message or messages; empty for any other."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
    items = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    return items if items and all(is_message(item) for item in items) else []


def _kind_of_text(value: str) -> str:
    if not value:
        return "empty"
    return "messages" if messages_in(value) else "text"


def _kind_of_list(value: list[Any]) -> str:
    if not value:
        return "empty"
    if all(is_message(item) for item in value):
        return "messages"
    if all(isinstance(item, list) and messages_in(item) for item in value):
        return "nested"
    return "texts" if all(isinstance(item, str) for item in value) else "list"
