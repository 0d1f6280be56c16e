"""Why a row is rejected: 0 where it is not. What may reject it stands before this fact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.fates import Reason, name
from forge_gpu.io.to_arrow import texts_to_arrow
from forge_gpu.job.facts.columns import TEXT, Column, Columns, LedgerRows, coded
from forge_gpu.job.facts.fact import Fact, always
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace


def _compute(workspace: Workspace, rows: Rows) -> np.ndarray:
    return rows.reason


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    reason = rows.fact("reason")
    return [coded(_PLACE[reason], texts_to_arrow([name(reason) for reason in Reason]), reason == 0)]


_PLACE = np.zeros(max(Reason) + 1, np.int32)
"""The place of each reason among all."""
_PLACE[list(Reason)] = np.arange(len(Reason), dtype=np.int32)

REASON = Fact(
    "reason",
    np.dtype(np.uint8),
    _compute,
    columns=Columns(
        (Column("reason", TEXT, "why it was rejected; null for other fates"),),
        always,
        _fill,
    ),
)
