"""Rows of tokens between the lines of a job and the columns of a trainer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge_gpu.io.sinks.lines import schema_of
from forge_gpu.io.sinks.token_columns import ATTENTION, IDS, IGNORED, LABELS, LENGTHS, positions_in
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen

I32 = npt.NDArray[np.int32]
Lists = tuple[np.ndarray, I64]
"""Numbers of all lists one behind the other, and where each list begins: int64[n + 1]."""


@frozen
class TokenRows:
    """n lines. ids, labels: int32[t]; a label stands at the place of its token, and is -100 where that is not
    trained. at: int64[n + 1], where each line begins. lengths: of the rows in the lines, and where those of
    each line begin."""

    ids: I32
    labels: I32
    at: I64
    lengths: Lists

    @property
    def trained(self) -> npt.NDArray[np.bool_]:
        trained: npt.NDArray[np.bool_] = self.labels != IGNORED
        return trained

    @property
    def begins(self) -> I64:
        """Where each row begins in the tokens: int64[r]."""
        lengths = self.lengths[0].astype(np.int64)
        begins: I64 = np.cumsum(lengths) - lengths
        return begins[lengths > 0]

    @property
    def positions(self) -> I32:
        """int32[t], from 0 in each row."""
        return positions_in(self.lengths[0])


def one_row_a_line(at: I64) -> Lists:
    return np.diff(at).astype(np.int32), np.arange(len(at))


def labels_where(ids: I32, trained: np.ndarray) -> I32:
    """The labels of tokens of which some are trained."""
    return np.where(trained.astype(bool), ids, np.int32(IGNORED)).astype(np.int32)


def moved_left(values: np.ndarray, begins: I64, last: int) -> np.ndarray:
    """Each value at the place before its own, within its row; `last` at a row's end."""
    moved = np.append(values[1:], values[:0] if not len(values) else last).astype(values.dtype)
    moved[begins[begins > 0] - 1] = last
    return moved


def moved_right(values: np.ndarray, begins: I64, first: int) -> np.ndarray:
    """The other way: `first` at a row's beginning."""
    moved = np.concatenate([values[:1], values[:-1]])
    moved[begins] = first
    return moved


def rows_of(batch: pa.RecordBatch) -> TokenRows:
    """Of a batch with the columns of the form `tokens`."""
    ids, at = lists_of(batch[IDS])
    labels = lists_of(batch[LABELS])[0] if LABELS in batch.schema.names else ids
    lengths = lists_of(batch[LENGTHS]) if LENGTHS in batch.schema.names else one_row_a_line(at)
    return TokenRows(ids, labels, at, lengths)


def batch_of(rows: TokenRows, columns: Mapping[str, str]) -> pa.RecordBatch:
    """The other way. columns: as in the manifest."""
    known = {
        IDS: (rows.ids, rows.at),
        LABELS: (rows.labels, rows.at),
        LENGTHS: rows.lengths,
        ATTENTION: (np.ones(len(rows.ids), np.int32), rows.at),
    }
    return pa.record_batch([arrow_of(known[name]) for name in columns], schema=schema_of(columns))


def lists_of(column: pa.ListArray) -> Lists:
    offsets = column.offsets.to_numpy().astype(np.int64)
    values = column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    return values, offsets - offsets[0]


def arrow_of(lists: Lists) -> pa.ListArray:
    values, at = lists
    return pa.ListArray.from_arrays(pa.array(at.astype(np.int32)), pa.array(values))
