"""How many tokens the media of a row become, besides those of its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.job.facts.columns import Column, Columns, LedgerRows
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.media_found import counts_tokens, tokens_beside
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.kernels.layout import I64

NAME = "media_tokens"
_MOST = np.iinfo(np.uint32).max


def beside(fact: Callable[[str], np.ndarray | None]) -> I64 | int:
    """The tokens of each row that its media become: int64[n]; 0 where none are counted. fact: the array of
    one of all rows, by name."""
    counted = fact(NAME)
    return 0 if counted is None else counted.astype(np.int64)


def _compute(workspace: Workspace, rows: Rows) -> np.ndarray:
    return np.minimum(tokens_beside(rows.records), _MOST).astype(np.uint32)


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    return [pa.array(rows.fact(NAME).astype(np.int64))]


MEDIA_TOKENS = Fact(
    NAME,
    np.dtype(np.uint32),
    _compute,
    required=counts_tokens,
    columns=Columns(
        (
            Column(
                NAME, pa.int64(), "tokens that its images and sounds become, in addition to those of its text"
            ),
        ),
        counts_tokens,
        _fill,
    ),
)
