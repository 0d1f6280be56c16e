"""Calls `transform_batch` for batches, and says of each row what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from forge_gpu.sandbox.inside.columns import SIZE, decode, encode, normal
from forge_gpu.sandbox.inside.frames import REJECTED, REJECTION, ROW, answer_body
from forge_gpu.sandbox.inside.rows import kind_of, reason_of

Made = tuple[list[int], list[str], list[pa.RecordBatch]]
"""How many rows each row became, or REJECTED; the reasons of the rejected; the rows."""


class Batches:
    """The function of a script over frames of batches."""

    def __init__(self, function: Callable[[pa.RecordBatch], Any]) -> None:
        self._function = function

    def __call__(self, body: bytes) -> bytes:
        """The body of an answer. Raises MemoryError, and what is no Exception: these end the process.

        A batch of which the function makes nothing that can be taken is given again in halves, so that a row
        that it refuses is rejected alone.
        """
        counts, reasons, rows = self._halved(decode(memoryview(body)))
        pieces = [encode(each) for each in _joined(rows)]
        text = b"".join(SIZE.pack(len(piece)) + piece for piece in pieces)
        return answer_body(counts, text, reasons)

    def _halved(self, batch: pa.RecordBatch) -> Made:
        made = self._try(batch)
        if not isinstance(made, str):
            return made
        if len(batch) == 1:
            return [REJECTED], [made], []
        middle = len(batch) // 2
        one, other = (self._halved(_numbered(half)) for half in (batch.slice(0, middle), batch.slice(middle)))
        return one[0] + other[0], one[1] + other[1], one[2] + other[2]

    def _try(self, batch: pa.RecordBatch) -> Made | str:
        """What becomes of the rows of a batch, or the reason of what was raised."""
        try:
            return self._made(batch)
        except MemoryError:
            raise
        except Exception as fault:
            return reason_of(fault)

    def _made(self, batch: pa.RecordBatch) -> Made:
        count = len(batch)
        made = self._function(batch)
        if made is None:
            return [0] * count, [], []
        if not isinstance(made, pa.RecordBatch):
            raise TypeError(
                f"transform_batch returned {kind_of(made)}; a pyarrow.RecordBatch or None is asked for"
            )
        if len(set(made.schema.names)) < len(made.schema.names):
            raise ValueError("transform_batch returned two columns of one name")
        source = _sources(made, count)
        refused, reasons = _refused(made, source, count)
        rows = made.select([name for name in made.schema.names if name not in (ROW, REJECTION)])
        if refused.any():
            rows = rows.filter(pa.array(~refused[source]))
            source = source[~refused[source]]
        if not rows.num_columns and len(source):
            raise ValueError("transform_batch returned rows without columns")
        counts = np.where(refused, REJECTED, np.bincount(source, minlength=count))
        return counts.tolist(), reasons, [normal(rows)] if len(source) else []


def _numbered(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A slice of a batch, its rows numbered from 0 again."""
    return batch.set_column(batch.num_columns - 1, ROW, pa.array(np.arange(len(batch))))


def _sources(made: pa.RecordBatch, count: int) -> Any:
    """int64[rows made]: which row of the batch each is made of."""
    if ROW not in made.schema.names:
        if count == 1:
            return np.zeros(len(made), np.int64)
        if len(made) != count:
            raise ValueError(
                f"transform_batch returned {len(made)} rows for {count}, without the column {ROW}"
            )
        return np.arange(count)
    column = made.column(ROW)
    if not pa.types.is_integer(column.type) or column.null_count:
        raise TypeError(f"transform_batch returned a column {ROW} that holds no numbers of rows")
    source = column.to_numpy(zero_copy_only=False).astype(np.int64)
    if len(source) and (source[0] < 0 or source[-1] >= count or (np.diff(source) < 0).any()):
        raise ValueError(f"transform_batch returned a column {ROW} that does not ascend through its rows")
    return source


def _refused(made: pa.RecordBatch, source: Any, count: int) -> tuple[Any, list[str]]:
    """Which rows of the batch are rejected, and their reasons."""
    refused = np.zeros(count, np.bool_)
    if REJECTION not in made.schema.names:
        return refused, []
    column = made.column(REJECTION).cast(pa.string())
    given: dict[int, str] = {}
    for place in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist():
        given.setdefault(int(source[place]), reason_of(ValueError(column[place].as_py())))
    refused[list(given)] = True
    return refused, list(given.values())


def _joined(rows: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The same rows in fewer batches."""
    joined: list[pa.RecordBatch] = []
    for _, group in groupby(rows, key=lambda each: each.schema):
        joined += pa.Table.from_batches([*group]).combine_chunks().to_batches()
    return joined
