"""Clusters of near-duplicates: pairs that are alike, joined on the host or where an engine joins them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.reference.shingles import U32
from forge_gpu.kernels.reference.union import F64

BYTES_A_JOIN = 48
"""A pair that is to be joined and its similarity; twice while they are put together."""


class Decider(Protocol):
    """What an engine does for a decision about near-duplicates (see engine.base.Engine)."""

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result: ...

    def shared_shingles(
        self, texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32
    ) -> tuple[I64, I64] | None: ...

    def united(
        self, parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64
    ) -> tuple[I64, I64, F64] | None: ...


class Clusters:
    """Connected components of near-duplicate pairs over n rows; 24 bytes a row.

    label: int64[n], the smallest row of each row's component, final after `close`. partner: int64[n], the
    row that this row was found most similar to (the smallest of several), -1 where there is none;
    similarity: float64[n], that Jaccard similarity, 0 where there is none. decider: where pairs may be
    joined, once they take `room_bytes`; None for the host alone.
    """

    def __init__(self, n: int, decider: Decider | None = None, room_bytes: int = 0) -> None:
        self.label = np.arange(n, dtype=np.int64)
        self.partner = np.full(n, -1, np.int64)
        self.similarity = np.zeros(n, np.float64)
        self._decider, self._room = decider, room_bytes
        self._waiting: list[tuple[I64, F64]] = []
        self._held = 0

    def add(self, pairs: I64, similarity: F64) -> None:
        """Join the rows of each pair: int64[m, 2] and float64[m]. The order of calls does not matter."""
        self._waiting.append((pairs, similarity))
        self._held += BYTES_A_JOIN * len(pairs)
        if self._held >= self._room:
            self._join()

    def _join(self) -> None:
        from forge_gpu.kernels.cpu.union import keep_nearest, unite

        pairs, similarity = self._waiting[0]
        if len(self._waiting) > 1:
            pairs, similarity = (np.concatenate(arrays) for arrays in zip(*self._waiting, strict=True))
        self._waiting, self._held = [], 0
        made = None
        if self._decider is not None:
            made = self._decider.united(self.label, self.partner, self.similarity, pairs, similarity)
        if made is None:
            unite(self.label, pairs)
            keep_nearest(pairs, similarity, self.partner, self.similarity)
        else:
            self.label, self.partner, self.similarity = made

    def close(self) -> None:
        """Give every row its final label."""
        from forge_gpu.kernels.cpu.union import flatten

        if self._waiting:
            self._join()
        flatten(self.label)
