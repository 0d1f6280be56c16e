"""Columns of the ledger for every row: which row it is, its fate, and where it was written to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.fates import Fate, name
from forge_gpu.io.to_arrow import texts_to_arrow
from forge_gpu.job.facts.columns import TEXT, Column, Columns, LedgerRows, coded, numbers
from forge_gpu.job.facts.fact import always
from forge_gpu.kernels.layout import I64


def _sources(rows: LedgerRows) -> Sequence[pa.Array]:
    file = _files_of(rows.begin, rows.end, rows.files.starts)
    row = rows.files.in_file(np.arange(rows.begin, rows.end), file)
    return [coded(file, rows.files.names), numbers(row)]


def _files_of(begin: int, end: int, starts: I64) -> I64:
    """The file of each of the rows begin ... end - 1 of a job."""
    first = int(np.searchsorted(starts, begin, side="right")) - 1
    last = int(np.searchsorted(starts, end - 1, side="right"))
    edges = np.clip(starts[first : last + 1], begin, end)
    return np.repeat(np.arange(first, last), edges[1:] - edges[:-1])


def _fates(rows: LedgerRows) -> Sequence[pa.Array]:
    return [coded(rows.of(rows.decisions.fate), texts_to_arrow([name(fate) for fate in Fate]))]


def _outputs(rows: LedgerRows) -> Sequence[pa.Array]:
    unplaced = rows.of(rows.decisions.fate) > Fate.TEST  # the splits are the first fates
    return [coded(rows.shard, rows.shards, unplaced), numbers(rows.line, unplaced)]


SOURCE = Columns(
    (
        Column("file", TEXT, "the input file", nullable=False),
        Column("row", pa.int64(), "the row's number in the file, from 0", nullable=False),
    ),
    always,
    _sources,
)

FATE = Columns((Column("fate", TEXT, "one of the fates above", nullable=False),), always, _fates)

OUTPUT = Columns(
    (
        Column("shard", TEXT, "of a row in a split: the output file"),
        Column("line", pa.int64(), "and its line there, from 1"),
    ),
    always,
    _outputs,
)
