"""Which part of its source row a row is, where a plan makes several rows of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.expansion import I32
from forge_gpu.job.rows.expansions import has_parts
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.state import index


def _compute(workspace: Workspace, rows: Rows) -> I32:
    """See `expansion.Parts.number`: int32[n]."""
    assert rows.parts is not None
    return rows.parts.number


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    part = rows.fact(index.PART).astype(np.int64)
    return [numbers(part, part < 0)]


PART = Fact(
    index.PART,
    np.dtype(np.int32),
    _compute,
    required=has_parts,
    columns=Columns(
        (
            Column(
                "part",
                pa.int64(),
                "its number among the rows that are made of its record, from 0; null if none is made",
            ),
        ),
        has_parts,
        _fill,
    ),
)
