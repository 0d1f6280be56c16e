"""Decisions about a whole frame, by an engine that is lent for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forge_gpu.frames.workers import Workers
from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.reference.shingles import U32
from forge_gpu.kernels.reference.union import F64
from forge_gpu.plain import frozen


@frozen
class Borrowed:
    """See dedup.clusters.Decider."""

    workers: Workers

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        with self.workers.borrow() as worker:
            return worker.engine.decided(work, rows)

    def shared_shingles(
        self, texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32
    ) -> tuple[I64, I64] | None:
        with self.workers.borrow() as worker:
            return worker.engine.shared_shingles(texts, pairs, kind, n, fold)

    def united(
        self, parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64
    ) -> tuple[I64, I64, F64] | None:
        with self.workers.borrow() as worker:
            return worker.engine.united(parent, partner, nearest, pairs, similarity)
