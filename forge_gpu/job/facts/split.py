"""What splits go by, where the plan asks for it: a row's stratum, its group, its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.fates import Reason
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.split.times import parse_times


def _stratum_column(config: Config) -> Sequence[str]:
    column = config.preprocessing.split.stratify
    return () if column is None else (column,)


def _group_column(config: Config) -> Sequence[str]:
    column = config.preprocessing.split.group
    return () if column is None else (column,)


def _time_column(config: Config) -> Sequence[str]:
    split = config.preprocessing.split
    return (split.time,) if split.mode == "temporal" and split.time is not None else ()


def _stratum(workspace: Workspace, rows: Rows) -> U64:
    """The hash of the column's text: uint64[n]."""
    [column] = _stratum_column(workspace.config)
    return workspace.engine.hash64(workspace.engine.text(rows.records.columns[column]), 0).copy()


def _group(workspace: Workspace, rows: Rows) -> U64:
    """The hash of the column's text, 0 where there is none: uint64[n]."""
    [column] = _group_column(workspace.config)
    text = workspace.engine.text(rows.records.columns[column])
    named = np.diff(text.offsets) > 0
    return np.where(named, np.maximum(workspace.engine.hash64(text, 0), np.uint64(1)), np.uint64(0))


def _time(workspace: Workspace, rows: Rows) -> I64:
    """Nanoseconds since 1970: int64[n]. Rejects rows that have no time."""
    [column] = _time_column(workspace.config)
    time, parsed = parse_times(workspace.engine.text(rows.records.columns[column]))
    live = rows.live
    rows.reason[live[~parsed[live]]] = Reason.UNPARSABLE_TIME
    return time


STRATUM = Fact(
    "stratum",
    np.dtype(np.uint64),
    _stratum,
    required=lambda config: bool(_stratum_column(config)),
    inputs=_stratum_column,
)

GROUP = Fact(
    "group",
    np.dtype(np.uint64),
    _group,
    required=lambda config: bool(_group_column(config)),
    inputs=_group_column,
)

TIME = Fact(
    "time",
    np.dtype(np.int64),
    _time,
    required=lambda config: bool(_time_column(config)),
    inputs=_time_column,
)
