"""The column of the ledger that says where in its pack a row is; `line` says which pack that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.state.decisions import SPLITS


def _is_packed(config: Config) -> bool:
    return config.output.packing != "none"


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    assert rows.decisions.places is not None
    place = rows.first_of(rows.decisions.places)[:, 1].astype(np.int64)
    return [numbers(place, rows.of(rows.decisions.fate) > np.uint8(max(SPLITS)))]


PACK = Columns(
    (
        Column(
            "place",
            pa.int64(),
            "of a packed row: its number in its pack, from 0; with `wrapped`, its first token in the pack",
        ),
    ),
    _is_packed,
    _fill,
)
