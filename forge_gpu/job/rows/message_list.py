"""A list of messages as a record spells it, and lists of some of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from forge_gpu.config.schema import Mapping
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Spans
from forge_gpu.plain import frozen
from forge_gpu.templates.records import BadRecord, Message, messages_of
from forge_gpu.templates.roles import role_aliases
from forge_gpu.templates.values import text_of_span

WHITE = " \t\r\n"
_DECODER = json.JSONDecoder()


@frozen
class MessageList:
    """text: the list as JSON. places: where each message begins and ends in it. messages: as they are
    read."""

    text: str
    places: tuple[tuple[int, int], ...]
    messages: list[Message]

    def without(self, begin: int, stop: int) -> bytes:
        """The list without the messages `begin` ... `stop` - 1, each of the others as it is spelled."""
        others = [*self.places[:begin], *self.places[stop:]]
        return f"[{','.join(self.text[slice(*place)] for place in others)}]".encode()


def list_of(column: Spans, row: int, mapping: Mapping) -> MessageList | None:
    """The messages of a row; None of one whose messages cannot be read: whoever renders it says why."""
    if column.kind[row] in (layout.ABSENT, layout.NULL):
        return None
    text = text_of_span(column, row).strip(WHITE)
    places = _places(text)
    if places is None:
        return None
    try:
        messages = messages_of(json.loads(text), role_aliases(mapping.roles), mapping.roles)
    except BadRecord:
        return None
    return MessageList(text, places, messages)


def _places(text: str) -> tuple[tuple[int, int], ...] | None:
    """None for what is not a list of values."""
    if not text.startswith("["):
        return None
    places: list[tuple[int, int]] = []
    place = 1
    try:
        while not text.startswith("]", place):
            begin = _after(text, place, WHITE + "," * bool(places))
            _, end = _DECODER.raw_decode(text, begin)
            places.append((begin, end))
            place = _after(text, end, WHITE)
    except ValueError:
        return None
    return tuple(places)


def _after(text: str, place: int, characters: str) -> int:
    while place < len(text) and text[place] in characters:
        place += 1
    return place


def column_of(column: Spans, rows: I64, lists: Sequence[bytes | None]) -> Spans:
    """A column of some rows of another: lists that were made, and what stands where there is None."""
    made = np.array([each is not None for each in lists], np.bool_)
    length = np.array([len(each or b"") for each in lists], np.int64)
    start = np.cumsum(length) - length + len(column.data)
    data = np.frombuffer(b"".join(each or b"" for each in lists), np.uint8)
    return Spans(
        np.concatenate([column.data, data]),
        np.where(made, start, column.start[rows]),
        np.where(made, length, column.length[rows]),
        np.where(made, np.uint8(layout.JSON), column.kind[rows]),
    )
