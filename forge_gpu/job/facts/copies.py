"""The column of the ledger that says how often a row is written, where a mixture repeats any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.state.decisions import SPLITS


def _is_repeated(config: Config) -> bool:
    return config.data.repeats is not None


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    copies = np.asarray(rows.decisions.copies_of(slice(rows.begin, rows.end)))
    return [numbers(copies, rows.of(rows.decisions.fate) > np.uint8(max(SPLITS)))]


COPIES = Columns(
    (Column("copies", pa.int64(), "with `data.repeats`: how often it is written; `line` is the first"),),
    _is_repeated,
    _fill,
)
