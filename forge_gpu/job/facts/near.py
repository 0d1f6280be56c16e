"""What near-duplicates are looked for by: band hashes of the compared text, its size, and a row's score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.fact import Fact, fact_of_columns
from forge_gpu.job.rows.near import settings_of
from forge_gpu.job.rows.rows import Rows, ranking_column
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.state.index import F64
from forge_gpu.kernels.layout import I64, U64, Text


def is_near(config: Config) -> bool:
    return config.preprocessing.dedup.near is not None


def _score_column(config: Config) -> Sequence[str]:
    column = ranking_column(config.preprocessing.dedup.near)
    return () if column is None else (column,)


def _bands_of(config: Config) -> int:
    near = config.preprocessing.dedup.near
    return 0 if near is None else settings_of(near, config.preprocessing.seed).bands.count


def _measured(workspace: Workspace, rows: Rows) -> tuple[U64, I64]:
    """Both facts of the compared text, which is rendered once."""

    def measure() -> tuple[U64, I64]:
        assert workspace.near is not None
        good = rows.live
        text = workspace.near.text.of(rows, good)
        settings = workspace.near.settings
        bands = np.zeros((settings.bands.count, len(rows)), np.uint64)
        bands[:, good] = rows.engine.band_hashes(text, settings.signing).T
        sizes = np.zeros(len(rows), np.int64)
        sizes[good] = np.diff(text.offsets)
        return bands.T, sizes

    return rows.once("near", measure)


def _bands(workspace: Workspace, rows: Rows) -> U64:
    return _measured(workspace, rows)[0]


def _text_bytes(workspace: Workspace, rows: Rows) -> I64:
    return _measured(workspace, rows)[1]


def _score(workspace: Workspace, rows: Rows) -> F64:
    [column] = _score_column(workspace.config)
    return numbers_of(workspace.engine.text(rows.records.columns[column]))


def numbers_of(text: Text) -> F64:
    """Each text as a number: float64[n]; NaN where it is none."""
    numbers = np.full(len(text), np.nan)
    for row in np.flatnonzero(np.diff(text.offsets)).tolist():
        try:
            numbers[row] = float(text.row(row))
        except ValueError:
            continue
    return numbers


BANDS = Fact("bands", np.dtype(np.uint64), _bands, required=is_near, width=_bands_of, at_once=False)

TEXT_BYTES = Fact("text_bytes", np.dtype(np.int64), _text_bytes, required=is_near)

SCORE = fact_of_columns("score", np.float64, _score, _score_column)
