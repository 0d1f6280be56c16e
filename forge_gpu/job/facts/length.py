"""How long a row's contents are, in characters, as the checks count them: without what a template adds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.quality.checks import checks_made
from forge_gpu.templates.forms import form_of

UNKNOWN = 2**32 - 1
"""Of a row whose contents could not be read."""


def is_counted(config: Config) -> bool:
    estimated = None if form_of(config).is_encoded else config.model.max_length
    return bool(checks_made(config.preprocessing.quality_checks, estimated))


def _compute(workspace: Workspace, rows: Rows) -> np.ndarray:
    assert rows.characters is not None
    characters = np.minimum(rows.characters, UNKNOWN - 1).astype(np.uint32)
    characters[rows.bound.reason != 0] = UNKNOWN
    return characters


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    characters = rows.fact("characters")
    return [numbers(characters.astype(np.int64), characters == np.uint32(UNKNOWN))]


CHARACTERS = Fact(
    "characters",
    np.dtype(np.uint32),
    _compute,
    required=is_counted,
    columns=Columns(
        (Column("characters", pa.int64(), "of its contents, as the checks count them"),), is_counted, _fill
    ),
)
