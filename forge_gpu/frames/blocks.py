"""A frame in blocks of rows, so that what kernels write stays small beside the frame itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.frames.base import Frames
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Records, Spans
from forge_gpu.templates.values import value_of

BLOCK_ROWS = 1 << 15
BLOCK_BYTES = 32 * 2**20
LEAST_ROWS = 1 << 12
"""Fewer rows are not worth a thread of their own."""

SAMPLE_RUNS, SAMPLE_ROWS = 10, 20

Columns = Mapping[str, Spans]
Rows = tuple[int, int]


def ranges(rows: int, threads: int) -> list[Rows]:
    """The rows of a frame in ranges of at most BLOCK_ROWS, in shares for all threads where there are few."""
    step = max(1, min(BLOCK_ROWS, max(LEAST_ROWS, -(-rows // threads))))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def blocks(
    frames: Frames[Any, Any], frame: Any, columns: Sequence[str], rows: Rows, most_bytes: int
) -> Iterator[Columns]:
    """The named columns of a range of rows in blocks of at most so many bytes, or of one row."""
    start, stop = rows
    spans = {column: frames.spans(frame, column, start, stop) for column in columns}
    length = sum((column.length for column in spans.values()), np.zeros(stop - start, np.int64))
    edges = _edges(length, min(most_bytes, BLOCK_BYTES))
    if len(edges) == 2:
        yield spans
        return
    for begin, end in pairwise(edges):
        yield {name: column.part(slice(begin, end)) for name, column in spans.items()}


def _edges(length: I64, most_bytes: int) -> list[int]:
    """Where blocks begin and end, from the bytes of each row."""
    ends = np.cumsum(length)
    edges = [0]
    while edges[-1] < len(length):
        before = int(ends[edges[-1] - 1]) if edges[-1] else 0
        edges.append(max(int(np.searchsorted(ends, before + most_bytes, side="right")), edges[-1] + 1))
    return edges


def records_of(engine: Engine, columns: Columns) -> Records:
    """A block as records: rows with a text that is no UTF-8 are refused, and ABSENT in all columns."""
    rows = len(next(iter(columns.values())))
    broken = np.zeros(rows, np.bool_)
    for column in columns.values():
        broken |= (column.kind == layout.PLAIN) & (engine.valid_utf8(column) == 0)
    if broken.any():
        columns = {name: column.without(broken) for name, column in columns.items()}
    reason = np.where(broken, np.uint8(Reason.INVALID_UTF8), np.uint8(Reason.NONE))
    zero = np.zeros(rows, np.int64)
    return Records(np.zeros(0, np.uint8), zero, zero, reason, dict(columns))


def sample(
    frames: Frames[Any, Any], engine: Engine, frame: Any, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """At most SAMPLE_RUNS x SAMPLE_ROWS rows as Python objects, in runs that are spread over the frame; rows
    with a text that is no UTF-8 are passed over."""
    rows = frames.rows(frame)
    few = rows <= SAMPLE_RUNS * SAMPLE_ROWS
    starts = range(0, rows, SAMPLE_ROWS) if few else np.linspace(0, rows - SAMPLE_ROWS, SAMPLE_RUNS).tolist()
    found = []
    for start in map(int, starts):
        stop = min(start + SAMPLE_ROWS, rows)
        spans = {column: frames.spans(frame, column, start, stop) for column in columns}
        records = records_of(engine, spans)
        found += [
            {name: value_of(column, row) for name, column in records.columns.items()}
            for row in np.flatnonzero(records.reason == Reason.NONE).tolist()
        ]
    return found
