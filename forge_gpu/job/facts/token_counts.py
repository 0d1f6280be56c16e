"""How many tokens a row has, and what became of them. They are counted where rows are encoded, which is not
in the first pass, so these are columns of the ledger and no facts of the index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.templates.forms import form_of

NAMES = ("tokens", "trained", "cut_tokens", "cut_messages", "control_text")


def is_encoded(config: Config) -> bool:
    return form_of(config).is_encoded


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    fate = rows.of(rows.decisions.fate)
    dropped = fate > np.uint8(max(SPLITS))
    tokens = rows.fact("tokens")
    unknown = dropped & (tokens == 0)
    absent = {name: dropped for name in NAMES} | {"tokens": unknown}
    return [numbers(rows.fact(name).astype(np.int64), absent[name]) for name in NAMES]


TOKENS = Columns(
    (
        Column(
            "tokens",
            pa.int64(),
            "its tokens, as they are written; of a row in no split all that it has, if known",
        ),
        Column("trained", pa.int64(), "how many of them are trained"),
        Column("cut_tokens", pa.int64(), "tokens that were cut off"),
        Column("cut_messages", pa.int64(), "messages that were left out to make it fit"),
        Column("control_text", pa.int64(), "control tokens that its contents spell"),
    ),
    is_encoded,
    _fill,
)
