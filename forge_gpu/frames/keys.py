"""One block of a frame as numbers: what rows are compared, drawn and grouped by."""

from __future__ import annotations

import numpy as np

from forge_gpu.frames.blocks import Columns
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import U64, ProgramTable
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
