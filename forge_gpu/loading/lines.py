"""Lines of mapped splits, taken by number: of one split, or of several by an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np
import numpy.typing as npt

from forge_gpu.io.sinks.token_columns import IGNORED, positions_in
from forge_gpu.kernels.layout import I64
from forge_gpu.loading.mapped import I32, MappedSplit
from forge_gpu.plain import frozen


@frozen
class Batch:
    """Rows one behind the other. lines: int64[k], the numbers of the lines that they are of.

    input_ids, labels: int32[t]; a label stands at the place of its own token, and is -100 where that is not
    trained, or begins a row, so that no row is predicted from the one before. lengths: int32[r], of each row.
    """

    lines: I64
    input_ids: I32
    labels: I32
    lengths: I32

    @property
    def position_ids(self) -> I32:
        """int32[t], from 0 in each row."""
        return positions_in(self.lengths)


@frozen
class Lines:
    """index: uint32[n, 2], the source and the line there of each line; None where there is one source, all of
    which is taken in its order."""

    sources: Sequence[MappedSplit]
    index: npt.NDArray[np.uint32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.sources[0].at) - 1 if self.index is None else len(self.index)

    def tokens(self) -> I64:
        """Of each line: int64[n]."""
        if self.index is None:
            return self.sources[0].tokens
        tokens = np.empty(len(self.index), np.int64)
        for number, source in enumerate(self.sources):
            own = self.index[:, 0] == number
            tokens[own] = source.tokens[self.index[own, 1]]
        return tokens

    def take(self, lines: I64) -> Batch:
        """Some lines, in the order of their numbers in `lines`."""
        source, line = self._places(lines)
        begin, end = np.empty((2, len(line)), np.int64)
        for number, of in enumerate(self.sources):
            own = source == number
            begin[own], end[own] = of.at[line[own]], of.at[line[own] + 1]
        slices = _slices(source, begin, end)
        ids = _joined([of.ids for of in self.sources], slices)
        labels = _joined([of.ids if of.labels is None else of.labels for of in self.sources], slices)
        lengths = self._lengths(source, line, (end - begin).astype(np.int32))
        begins = np.cumsum(lengths) - lengths
        labels[begins[lengths > 0]] = IGNORED
        return Batch(lines, ids, labels, lengths)

    def _places(self, lines: I64) -> tuple[I64, I64]:
        if self.index is None:
            return np.zeros(len(lines), np.int64), lines
        places = self.index[lines].astype(np.int64)
        return places[:, 0], places[:, 1]

    def _lengths(self, source: I64, line: I64, tokens: I32) -> I32:
        """Of the rows of lines, which are packs or one row each: int32[r]. tokens: int32[k], of the lines."""
        if all(of.lengths is None for of in self.sources):
            return tokens
        values = []
        begin, end = np.empty((2, len(line)), np.int64)
        for number, of in enumerate(self.sources):
            own = source == number
            if of.lengths is None:
                values.append(tokens[own])
                begin[own] = np.arange(np.count_nonzero(own))
                end[own] = begin[own] + 1
            else:
                values.append(of.lengths[0])
                begin[own], end[own] = of.lengths[1][line[own]], of.lengths[1][line[own] + 1]
        return _joined(values, _slices(source, begin, end))


Slices = list[tuple[int, int, int]]
"""(source, begin, end) of each."""


def _slices(source: I64, begin: I64, end: I64) -> Slices:
    return list(zip(source.tolist(), begin.tolist(), end.tolist(), strict=True))


def _joined(arrays: Sequence[I32], slices: Slices) -> I32:
    """Slices of arrays, one behind the other."""
    pieces = [arrays[number][begin:end] for number, begin, end in slices]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
