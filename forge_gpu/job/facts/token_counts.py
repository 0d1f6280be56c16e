"""How many tokens a row has, of those that are written as tokens. They are counted as they are written, so
these are columns of the ledger and no facts of the index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.templates.forms import form_of


def is_encoded(config: Config) -> bool:
    return form_of(config).is_encoded


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    absent = ~np.isin(rows.of(rows.decisions.fate), [int(split) for split in SPLITS])
    return [
        numbers(rows.fact(name).astype(np.int64), absent) for name in ("tokens", "trained", "control_text")
    ]


TOKENS = Columns(
    (
        Column("tokens", pa.int64(), "it has, of those written as tokens"),
        Column("trained", pa.int64(), "of them that are trained"),
        Column("control_text", pa.int64(), "control tokens that its contents spell"),
    ),
    is_encoded,
    _fill,
)
