"""A conversation becomes a row for each turn of the assistant, so that each is rendered as at inference:
the messages before it, and itself at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Fate
from forge_gpu.job.rows.expansion import Expanded, Expansion
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records, Spans
from forge_gpu.templates.records import BadRecord, messages_of
from forge_gpu.templates.roles import role_aliases
from forge_gpu.templates.turns.trained import is_trained
from forge_gpu.templates.values import text_of_span

WHITE = " \t\r\n"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class _Cuts:
    """A list of messages as it is spelled, and where each of them ends in it."""

    text: str
    ends: tuple[int, ...]

    def until(self, number: int) -> str:
        """The list up to a message and with it."""
        return self.text if number == len(self.ends) - 1 else f"{self.text[: self.ends[number]]}]"


def turns_of(config: Config, engine: Engine, records: Records) -> Expanded:
    """A row without a turn that is trained, or whose messages cannot be read, stays as it is."""
    name = config.data.mapping.messages or ""
    column = records.columns[name]
    source: list[int] = []
    texts: list[bytes | None] = []
    for row in range(len(records)):
        made = list(_turns(column, row, config))
        source += [row] * max(len(made), 1)
        texts += made or [None]
    return Expanded(np.array(source, np.int64), {name: _column(column, source, texts)})


def _turns(column: Spans, row: int, config: Config) -> Iterator[bytes]:
    if column.kind[row] in (layout.ABSENT, layout.NULL):
        return
    mapping = config.data.mapping
    cuts = _cuts(text_of_span(column, row).strip(WHITE))
    if cuts is None:
        return
    try:
        messages = messages_of(json.loads(cuts.text), role_aliases(mapping.roles), mapping.roles)
    except BadRecord:
        return  # whoever renders the row says what is wrong with it
    roles = frozenset(config.output.trained_roles)
    for number, message in enumerate(messages):
        if message["role"] == "assistant" and is_trained(message, roles):
            yield cuts.until(number).encode()


def _cuts(text: str) -> _Cuts | None:
    """None for what is no list of values."""
    if not text.startswith("["):
        return None
    ends: list[int] = []
    place = 1
    try:
        while not text.startswith("]", place):
            place = _after(text, place, WHITE + "," * bool(ends))
            _, place = _DECODER.raw_decode(text, place)
            ends.append(place)
            place = _after(text, place, WHITE)
    except ValueError:
        return None
    return _Cuts(text, tuple(ends))


def _after(text: str, place: int, characters: str) -> int:
    while place < len(text) and text[place] in characters:
        place += 1
    return place


def _column(column: Spans, source: Sequence[int], texts: Sequence[bytes | None]) -> Spans:
    """The messages of all rows: those that were made, and those that stay."""
    rows = np.array(source, np.int64)
    made = np.array([text is not None for text in texts], np.bool_)
    length = np.array([len(text or b"") for text in texts], np.int64)
    start = np.cumsum(length) - length + len(column.data)
    data = np.frombuffer(b"".join(text or b"" for text in texts), np.uint8)
    return Spans(
        np.concatenate([column.data, data]),
        np.where(made, start, column.start[rows]),
        np.where(made, length, column.length[rows]),
        np.where(made, np.uint8(layout.JSON), column.kind[rows]),
    )


def _required(config: Config) -> bool:
    return config.output.turns == "each"


def _inputs(config: Config) -> Sequence[str]:
    return (config.data.mapping.messages or "",)


TURNS = Expansion("turns", _required, turns_of, Fate.REJECTED, _inputs)
