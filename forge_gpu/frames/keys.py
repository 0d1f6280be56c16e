"""One block of a frame as numbers: what rows are compared, drawn and grouped by."""

from __future__ import annotations

import numpy as np

from forge_gpu.frames.blocks import Columns
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import U64, ProgramTable, Spans, Text
from forge_gpu.records.identity import identity_of


def keys_of(worker: Worker, table: ProgramTable, columns: Columns) -> U64:
    """The 128-bit key of each row, by its values however they are spelled: uint64[n, 2].

    table: the program of the key, and no other.
    """
    spans = [identity_of(columns[name]) for name in table.columns]
    rows = np.arange(len(spans[0]))
    program = np.zeros(len(rows), np.int32)
    keys = worker.engine.render(table, program, spans, rows, layout.AS_JSON)
    return worker.engine.hash128(keys).copy()


def hashes_of_texts(worker: Worker, columns: Columns) -> U64:
    """XXH3-128 of each text of the one column: uint64[n, 2]; null is the empty text. For the CPU's engine,
    which reads nothing beyond a text."""
    (column,) = columns.values()
    return worker.engine.hash128(_in_one_piece(column)).copy()


def _in_one_piece(column: Spans) -> Text:
    """The values as they lie, where each begins at the end of the one before; else copies of them."""
    used = np.flatnonzero(column.length)
    first = column.start[used[0]] if len(used) else 0
    offsets = first + np.concatenate(([0], np.cumsum(column.length)))
    if np.array_equal(offsets[used], column.start[used]):
        return Text(column.data, offsets)
    values = [column.raw(row) for row in range(len(column))]
    return Text(np.frombuffer(b"".join(values), np.uint8), offsets - first)
