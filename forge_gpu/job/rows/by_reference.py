"""The guard of the kernels that render: a row by the plain-Python reference too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.errors import ValidationError
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels.layout import I32, I64, ProgramTable, Spans
from forge_gpu.kernels.reference import render as reference
from forge_gpu.kernels.scratch import Scratch

CHECKED_ROWS = 16
"""The shortest of so many is what the reference has to render."""


def shortest(rows: Rows, chosen: I64) -> I64:
    """The shortest record of the first few of some rows: int64[1], or [0] of none."""
    first = chosen[:CHECKED_ROWS]
    return first[[np.argmin(rows.records.length[first])]] if len(first) else first


def require_as_reference(
    engine: Engine,
    table: ProgramTable,
    program: I32,
    columns: Sequence[Spans],
    messages: I64 | None,
    chosen: I64,
    encoding: int,
) -> None:
    """Render one row by both, and compare. Raises ValidationError."""
    have = engine.render(table, program, columns, chosen, encoding, messages).row(0)
    want = reference.render(table, program, columns, chosen, encoding, messages, Scratch()).row(0)
    if want != have:
        raise ValidationError(
            f"the {engine.name} engine rendered a row differently from the reference; please report this",
            f": {have[:200]!r} instead of {want[:200]!r}",
        )
