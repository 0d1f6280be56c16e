"""What the decisions are made from, and what is decided so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Fate
from forge_gpu.job.decide.candidates import CandidateTexts
from forge_gpu.job.decide.gathered import Gathered
from forge_gpu.job.facts.media import beside
from forge_gpu.job.state.decisions import Decisions
from forge_gpu.job.state.index import PART
from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.plain import frozen, mutable

if TYPE_CHECKING:
    from forge_gpu.dedup.clusters import Clusters
    from forge_gpu.job.decide.mixture import Mixture

Bool = npt.NDArray[np.bool_]

OPEN = 255
"""The fate of a row that no step has decided yet."""


@frozen
class Case:
    """facts: of all rows. budget_bytes: of the job. texts: of rows that may be near-duplicates,
    where the plan looks for them. mixture: of the sources; files: the file of each range, by which it tells
    them. engine: decides where there is room for it. splits: of each file,
    where the data comes with them; else empty. tokens: `token_table.ROW` of all rows, where what becomes of
    them depends on that. threads: for what takes long."""

    config: Config
    facts: Gathered
    budget_bytes: int
    texts: CandidateTexts | None
    mixture: Mixture | None
    files: Sequence[int]
    engine: Engine
    splits: Sequence[str]
    tokens: np.ndarray | None
    threads: int

    def decided(self, work: Callable[[Arrays], Result]) -> Result:
        """See kernels.arrays.Decide."""
        return self.engine.decided(work, self.facts.rows)

    @property
    def weighed(self) -> npt.NDArray[np.uint32] | None:
        """What a mixture weighs rows by: their trained tokens, uint32[n]; None where each counts 1."""
        if self.tokens is None or self.config.data.weights_by != "tokens":
            return None
        return np.asarray(self.tokens["trained"])

    @property
    def beside(self) -> I64 | int:
        """See `facts.media.beside`."""
        return beside(self.facts.get)


@mutable
class Verdict:
    """What the steps so far have decided.

    fate: uint8[n], OPEN where nothing is. duplicate_of: int64[n], -1 where there is none. rank: int64[n].
    record: int64[n], the record that each row is a part of; None where every row is a record.
    stratum: uint64[n], by which the rows are split. reason: uint8[n], why rows are rejected, where it is
    more than the index says. lines: uint32[n], how many lines of the output a row becomes; None where each is
    one. copies: uint32[n], how often each row is written, and first_copy: int64[n + 1], of each row the
    number of its first copy; None where each is written once: else `rank` and `places` are of copies. places:
    uint32[n, 2], the pack of each row and its place there; None where rows are not packed.
    suffice: of each source of a mixture, the repeats that would suffice; None where no row can be repeated.
    sections: of the manifest. warnings: a line each.
    """

    fate: U8
    duplicate_of: I64
    stratum: U64 | None
    record: I64 | None = None
    clusters: Clusters | None = None
    rank: I64 | None = None
    reason: U8 | None = None
    lines: np.ndarray | None = None
    copies: np.ndarray | None = None
    first_copy: I64 | None = None
    places: np.ndarray | None = None
    suffice: list[int] | None = None
    sections: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def none_yet(cls, facts: Gathered) -> Verdict:
        fate = facts.array("fate", np.dtype(np.uint8), OPEN)
        duplicate_of = facts.array("duplicate_of", np.dtype(np.int64), -1)
        part = facts.get(PART)
        record = None if part is None else np.cumsum(part <= 0) - 1
        return cls(fate, duplicate_of, facts.get("stratum"), record)

    @classmethod
    def taken_up(cls, facts: Gathered, before: Decisions) -> Verdict:
        """What was decided before, without what is left out of rows that none of it concerned."""
        verdict = cls.none_yet(facts)
        verdict.fate[:], verdict.duplicate_of[:] = before.fate, before.duplicate_of
        verdict.sections, verdict.warnings = dict(before.sections), before.warnings
        if before.cluster is not None and before.partner is not None and before.similarity is not None:
            verdict.clusters = clusters = Clusters(facts.rows)
            known = np.asarray(before.cluster) >= 0
            clusters.label[known] = before.cluster[known]
            clusters.partner, clusters.similarity = np.array(before.partner), np.array(before.similarity)
        return verdict

    @property
    def open_rows(self) -> Bool:
        """Which rows no step has decided yet: bool[n]."""
        open_rows: Bool = self.fate == OPEN
        return open_rows

    def copies_of(self, rows: Bool) -> tuple[I64, I64]:
        """(of each copy of some rows, which row it is of: int64[m]; its number among those of all rows)"""
        numbers = np.flatnonzero(rows)
        if self.copies is None or self.first_copy is None:
            return numbers, numbers
        count = self.copies[numbers].astype(np.int64)
        inside = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(numbers, count), np.repeat(self.first_copy[numbers], count) + inside

    def settle(self, rows: Bool | I64, fate: Fate) -> None:
        """Decide the fate of open rows, by a mask or by their numbers."""
        self.fate[rows] = fate
