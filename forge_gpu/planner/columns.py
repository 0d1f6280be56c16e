"""What kinds of values stand in each column of a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import Any

import orjson

from forge_gpu.plain import mutable
from forge_gpu.records.kinds import is_transcript, kind_of_list, kind_of_object
from forge_gpu.records.paths import value_at
from forge_gpu.records.values import ABSENT, json_text

ANSWERING = frozenset({"assistant", "gpt", "model", "bot"})
"""Names of the roles that answer."""
ASKING = frozenset({"user", "human", "system", "developer"})
"""Names of those that do not: messages of nobody else are a prompt."""
NOTHING = frozenset({"null", "empty"})
TURNS = frozenset({"messages", "turns", "pairs", "exchanges", "contents", "segments", "tree"})
"""Kinds of values that are conversations."""
LISTS = frozenset({"scored", "texts", "calls"})
"""Kinds of values that are lists of texts or of calls."""
LONG = 40
"""Characters of a text, on average, from which on it looks like what teaches."""


@mutable
class Column:
    """present: records that have the key. kinds: kind -> how many. held: the same of texts that hold JSON, or
    a transcript. characters: of all texts together. answered: lists of messages that end with an answer;
    prompts: those in which nobody answers."""

    name: str
    present: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    longest: int = 0
    answered: int = 0
    prompts: int = 0

    @property
    def kind(self) -> str:
        """The commonest kind of those that say something; `empty` or `null` where nothing does."""
        telling = [(n, kind) for kind, n in self.kinds.items() if kind not in NOTHING]
        return max(telling)[1] if telling else next(iter(self.kinds), "null")

    def is_of(self, kinds: Collection[str]) -> bool:
        """Whether its values, or what most of its texts hold, are of one of these kinds."""
        held = self.held.most_common(1)
        return self.kind in kinds or bool(
            held and held[0][0] in kinds and 2 * held[0][1] >= self.kinds["text"]
        )

    @property
    def mean(self) -> float:
        texts = self.kinds["text"] + self.kinds["empty"]
        return self.characters / texts if texts else 0.0


def columns_of(records: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """Every column of the records, in the order of their first appearance."""
    result: dict[str, Column] = {}
    for record in records:
        for name, value in record.items():
            _count(result.setdefault(name, Column(name)), value)
    return result


def with_paths(
    columns: Mapping[str, Column], records: Iterable[Mapping[str, Any]], names: Iterable[str]
) -> dict[str, Column]:
    """The columns, and those names that stand for something in a record, though they are no key of one."""
    result = dict(columns)
    paths = [name for name in dict.fromkeys(names) if name not in columns]
    for record in records if paths else ():
        for name in paths:
            value = value_at(record, name)
            if value is not ABSENT:
                _count(result.setdefault(name, Column(name)), value)
    return result


def _count(column: Column, value: Any) -> None:
    column.present += 1
    kind = kind_of(value)
    column.kinds[kind] += 1
    if kind == "messages":
        speakers = [speaker_of(message) for message in messages_in(value)]
        column.answered += speakers[-1] in ANSWERING
        column.prompts += ASKING.issuperset(speakers)
    if isinstance(value, str):
        column.characters += len(value)
        column.longest = max(column.longest, len(value))
        if kind == "text" and (held := _held_in(value)):
            column.held[held] += 1


def _held_in(text: str) -> str | None:
    """The kind of what a text holds: JSON, or a conversation; None where it is a text and no more."""
    if is_transcript(text):
        return "transcript"
    value = json_text(text)
    return None if value is text else kind_of(value)


def kind_of(value: Any) -> str:
    """null, empty, text, number, bool, message, messages, nested (messages in lists), list, object, or one of
    the kinds of `records.kinds`."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "message" if is_message(value) else kind_of_object(value)
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


def speaker_of(message: Mapping[str, Any]) -> str:
    return str(message.get("role", message.get("from")))


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
    return kind_of_list(value) or "list"
