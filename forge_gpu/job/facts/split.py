"""What splits go by, where the plan asks for it: a row's stratum, its group, its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.fates import Fate, Reason
from forge_gpu.io.to_arrow import texts_to_arrow
from forge_gpu.job.facts.columns import TEXT, Column, Columns, LedgerRows, coded
from forge_gpu.job.facts.fact import fact_of_columns
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.records.identity import identity_of
from forge_gpu.templates.strata import hashes_of


def _stratum_columns(config: Config) -> Sequence[str]:
    return config.preprocessing.split.strata


def _group_column(config: Config) -> Sequence[str]:
    column = config.preprocessing.split.group
    return () if column is None else (column,)


def _time_column(config: Config) -> Sequence[str]:
    split = config.preprocessing.split
    return (split.time,) if split.mode == "temporal" and split.time is not None else ()


def _stratum(workspace: Workspace, rows: Rows) -> U64:
    """The hash of the columns' values: uint64[n]."""
    return hashes_of(workspace.engine, rows.records.columns, _stratum_columns(workspace.config))


def _group(workspace: Workspace, rows: Rows) -> U64:
    """The hash of the column's value, 0 where there is none: uint64[n]."""
    [column] = _group_column(workspace.config)
    text = workspace.engine.text(identity_of(rows.records.columns[column]))
    named = np.diff(text.offsets) > 0
    return np.where(named, np.maximum(workspace.engine.hash64(text, 0), np.uint64(1)), np.uint64(0))


def _time(workspace: Workspace, rows: Rows) -> I64:
    """Nanoseconds since 1970: int64[n]. Rejects rows that have no time."""
    from forge_gpu.split.times import parse_times

    [column] = _time_column(workspace.config)
    time, parsed = parse_times(workspace.engine.text(rows.records.columns[column]))
    live = rows.live
    rows.reason[live[~parsed[live]]] = Reason.UNPARSABLE_TIME
    return time


def _fill_strata(rows: LedgerRows) -> Sequence[pa.Array]:
    rejected = rows.of(rows.decisions.fate) == np.uint8(Fate.REJECTED)
    names, codes = np.unique(rows.fact("stratum"), return_inverse=True)
    return [coded(codes, texts_to_arrow([stratum_name(name) for name in names.tolist()]), rejected)]


def stratum_name(number: int) -> str:
    """A stratum as the ledger spells it."""
    return f"{number:016x}"


STRATUM = replace(
    fact_of_columns("stratum", np.uint64, _stratum, _stratum_columns),
    columns=Columns(
        (
            Column(
                "stratum",
                TEXT,
                "of a stratified split: the same for rows that are equal in the columns of `split.stratify`",
            ),
        ),
        lambda config: bool(_stratum_columns(config)),
        _fill_strata,
    ),
)

GROUP = fact_of_columns("group", np.uint64, _group, _group_column)

TIME = fact_of_columns("time", np.int64, _time, _time_column)
