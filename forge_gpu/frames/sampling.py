"""Some rows of a frame, to recognise what its columns hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.frames.base import Frames
from forge_gpu.frames.blocks import Rows, records_of
from forge_gpu.frames.workers import Workers
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans
from forge_gpu.planner.columns import Column, kind_of
from forge_gpu.templates.values import value_of

RUNS, RUN_ROWS = 10, 20
MOST_RECORDS = RUNS * RUN_ROWS
PLAIN_START = np.ones(256, np.bool_)
PLAIN_START[[*b"\t\n\v\f\r [\x1c\x1d\x1e\x1f\x85\xa0", *range(0xC2, 0xF5)]] = False
"""First bytes of a text that can be no list of messages, after white space of any kind."""


PLAIN_TYPES = frozenset({str, list, dict, int, float, bool, type(None)})


class Sample:
    """At most RUNS x RUN_ROWS rows, in runs that are spread over the frame."""

    def __init__(self, frames: Frames[Any, Any], workers: Workers, frame: Any, names: Sequence[str]) -> None:
        self._frames, self._workers, self._frame, self._names = frames, workers, frame, names

    def records(self) -> list[dict[str, Any]]:
        """The rows as Python objects; those with a text that is not UTF-8 are passed over."""
        result = []
        with self._workers.borrow() as worker:
            for rows in self._runs():
                spans = {column: self._frames.spans(self._frame, column, *rows) for column in self._names}
                records = records_of(worker.engine, spans)
                result += [
                    {name: value_of(column, row) for name, column in records.columns.items()}
                    for row in np.flatnonzero(records.reason == Reason.NONE).tolist()
                ]
        return result

    def kinds(self) -> tuple[str, ...] | None:
        """The kind of each column, as `planner.columns` has it. None where it takes the records to say: for
        columns that are neither Python's values nor texts, none of which can be messages."""
        kinds = []
        with self._workers.borrow() as worker:
            for column in self._names:
                kind = self._kind_of_objects(column) or self._kind(worker.engine, column)
                if kind is None:
                    return None
                kinds.append(kind)
        return tuple(kinds)

    def row_bytes(self) -> int:
        """The bytes of a row on average, at least 1."""
        sizes = [
            int(self._frames.spans(self._frame, column, *rows).length.sum())
            for rows in self._runs()
            for column in self._names
        ]
        return max(1, sum(sizes) // (RUNS * RUN_ROWS))

    def _kind_of_objects(self, name: str) -> str | None:
        """Of values that mean the same as Python's and as a record's."""
        column = Column(name)
        for rows in self._runs():
            values = self._frames.objects(self._frame, name, *rows)
            if values is None or not set(map(type, values)) <= PLAIN_TYPES:
                return None
            column.kinds.update(map(_kind_of_object, values))
        return column.kind

    def _kind(self, engine: Engine, name: str) -> str | None:
        first = None
        for rows in self._runs():
            column = self._frames.spans(self._frame, name, *rows)
            if not _is_plain(engine, column):
                return None
            if column.length.any():
                first = "text"
            elif first is None:
                first = "null" if column.kind[0] == layout.NULL else "empty"
        return first

    def _runs(self) -> Iterator[Rows]:
        rows = self._frames.rows(self._frame)
        if rows <= RUNS * RUN_ROWS:
            yield 0, rows
            return
        for start in np.linspace(0, rows - RUN_ROWS, RUNS).tolist():
            yield int(start), int(start) + RUN_ROWS


def _kind_of_object(value: Any) -> str:
    return "null" if value != value else kind_of(value)


def _is_plain(engine: Engine, column: Spans) -> bool:
    if (column.kind > layout.PLAIN).any() or not engine.valid_utf8(column).all():
        return False
    begin = column.start[column.length > 0]
    return bool(PLAIN_START[column.data[begin]].all())
