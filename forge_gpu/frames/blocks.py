"""A frame in blocks of rows, so that what kernels write stays small beside the frame itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.frames.base import Frames
from forge_gpu.hardware.budget import Budget, peak_factors, worker_factor
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Records, Spans

BLOCK_ROWS = 1 << 15
BLOCK_BYTES = 32 * 2**20
"""The most; a budget may say less."""

LEAST_BYTES = 1 << 16
LEAST_ROWS = 1 << 12
"""Less is not worth a thread, or a look at how long rows are."""

Columns = Mapping[str, Spans]
Rows = tuple[int, int]


def block_bytes(budget: Budget) -> int:
    """What one of the threads may take of a frame at a time."""
    share = budget.bytes / (budget.threads * worker_factor(peak_factors()))
    return min(BLOCK_BYTES, max(LEAST_BYTES, int(share)))


def ranges(rows: int, threads: int, most_rows: int) -> list[Rows]:
    """The rows of a frame in ranges of at most so many, in shares for all threads where there are few."""
    step = max(1, min(BLOCK_ROWS, most_rows, max(LEAST_ROWS, -(-rows // threads))))
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def blocks(
    frames: Frames[Any, Any], engine: Engine, frame: Any, columns: Sequence[str], rows: Rows, most_bytes: int
) -> Iterator[tuple[Columns, int]]:
    """The named columns of a range of rows in blocks of at most so many bytes, or of one row; with each, its
    bytes. engine: of the thread that asks."""
    start, stop = rows
    spans = {column: _spans(frames, engine, frame, column, start, stop) for column in columns}
    length = sum((column.length for column in spans.values()), np.zeros(stop - start, np.int64))
    edges = _edges(length, most_bytes)
    for begin, end in pairwise(edges):
        part = slice(begin, end)
        yield {name: _part(column, part) for name, column in spans.items()}, int(length[part].sum())


def _spans(frames: Frames[Any, Any], engine: Engine, frame: Any, column: str, start: int, stop: int) -> Spans:
    """Some rows of a column, where it lies if the engine can work there."""
    lists = frames.lists(frame, column, start, stop)
    spans = None if lists is None else lists.as_json(engine)
    return frames.spans(frame, column, start, stop) if spans is None else spans


def _part(column: Spans, rows: slice) -> Spans:
    """Some values, over no more bytes than they need: a device would be given all of the buffer."""
    is_all = rows.start == 0 and rows.stop == len(column)
    return column if is_all and column.size == column.length.sum() else column.part(rows)


def _edges(length: I64, most_bytes: int) -> list[int]:
    """Where blocks begin and end, from the bytes of each row."""
    ends = np.cumsum(length)
    edges = [0]
    while edges[-1] < len(length):
        before = int(ends[edges[-1] - 1]) if edges[-1] else 0
        edges.append(max(int(np.searchsorted(ends, before + most_bytes, side="right")), edges[-1] + 1))
    return edges


def records_of(engine: Engine, columns: Columns) -> Records:
    """A block as records: rows with a text that is not UTF-8 are refused, and ABSENT in all columns."""
    rows = len(next(iter(columns.values())))
    broken = np.zeros(rows, np.bool_)
    for column in columns.values():
        broken |= (column.kind == layout.PLAIN) & (engine.valid_utf8(column) == 0)
    if broken.any():
        columns = {name: column.without(broken) for name, column in columns.items()}
    reason = np.where(broken, np.uint8(Reason.INVALID_UTF8), np.uint8(Reason.NONE))
    zero = np.zeros(rows, np.int64)
    return Records(np.zeros(0, np.uint8), zero, zero, reason, dict(columns))
