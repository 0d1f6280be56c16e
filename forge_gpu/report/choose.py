"""Which rows a report shows: a few of each fate, spread evenly, and some of the largest clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from forge_gpu.fates import Fate
from forge_gpu.job.facts.split import stratum_name
from forge_gpu.job.state.decisions import Decisions
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.plain import frozen

SAMPLES = {Fate.TRAIN: 8, Fate.VALIDATION: 4, Fate.TEST: 4, Fate.CONTAMINATED: 6, Fate.UNSAMPLED: 2}
OF_A_REASON = 3
CLUSTERS = 8
OF_A_CLUSTER = 4
"""Rows of a cluster that are shown, the one that stayed among them."""

STRATA = 12

BLOCK = 2**20
MOST_COUNTED = 2**16
"""Clusters that are counted at a time: where there are more, the smaller ones are let go."""


@frozen
class Chosen:
    """samples: numbers of rows. clusters: the row that stayed -> rows that were left out for it. strata: of
    the largest the name in the ledger -> a row of it."""

    samples: list[int]
    clusters: dict[int, int]
    members: list[int]
    strata: dict[str, int]

    def rows(self) -> I64:
        chosen = [*self.samples, *self.clusters, *self.members, *self.strata.values()]
        return np.unique(np.array(chosen, np.int64), return_counts=True)[
            0
        ]  # without counts it imports numpy.ma


def choose(decisions: Decisions) -> Chosen:
    """A function of the decisions alone. Works through them in blocks."""
    reasons = np.zeros(256, np.int64)
    for block in _blocks(decisions):
        reasons += np.bincount(decisions.reason[block], minlength=256)
    counts = {int(fate): count for fate, count in decisions.counts().items()}
    samples = _spread(decisions.fate, counts, {int(fate): number for fate, number in SAMPLES.items()})
    refused = {int(code): OF_A_REASON for code in np.flatnonzero(reasons) if code}
    samples += _spread(decisions.reason, dict(enumerate(reasons.tolist())), refused)
    clusters = _largest(decisions)
    return Chosen(samples, clusters, _members(decisions, clusters), _strata(decisions))


def _blocks(decisions: Decisions) -> Iterator[slice]:
    total = len(decisions.fate)
    for begin in range(0, total, BLOCK):
        yield slice(begin, min(begin + BLOCK, total))


def _spread(codes: U8, counts: dict[int, int], required: dict[int, int]) -> list[int]:
    """For each code so many of its rows, at equal distances from each other."""
    chosen: list[int] = []
    ranks = {}
    for code, number in required.items():
        number = min(number, counts.get(code, 0))
        ranks[code] = [(2 * place + 1) * counts[code] // (2 * number) for place in range(number)]
    before = dict.fromkeys(ranks, 0)
    for begin in range(0, len(codes), BLOCK):
        block = np.asarray(codes[begin : begin + BLOCK])
        present = np.bincount(block, minlength=256)
        for code, of_code in ranks.items():
            inside = [rank - before[code] for rank in of_code if 0 <= rank - before[code] < present[code]]
            if inside:
                chosen += (begin + np.flatnonzero(block == code)[inside]).tolist()
            before[code] += int(present[code])
    return chosen


def _duplicates(decisions: Decisions) -> Iterator[tuple[I64, I64]]:
    """By blocks: rows that were left out as duplicates, and for each the row that stayed."""
    for block in _blocks(decisions):
        fate = np.asarray(decisions.fate[block])
        rows = np.flatnonzero((fate == Fate.DUPLICATE) | (fate == Fate.NEAR_DUPLICATE))
        stayed = np.asarray(decisions.duplicate_of[block])[rows]
        yield block.start + rows[stayed >= 0], stayed[stayed >= 0]


def _largest(decisions: Decisions) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for _, stayed in _duplicates(decisions):
        values, sizes = np.unique(stayed, return_counts=True)
        counts.update(dict(zip(values.tolist(), sizes.tolist(), strict=True)))
        if len(counts) > MOST_COUNTED:
            counts = Counter(dict(counts.most_common(MOST_COUNTED // 2)))
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:CLUSTERS])


def _strata(decisions: Decisions) -> dict[str, int]:
    """Of the largest strata, how the ledger names them, and a row of it that was not rejected."""
    strata = decisions.facts.get("stratum")
    if strata is None:
        return {}
    counts: Counter[int] = Counter()
    row_of: dict[int, int] = {}
    for block in _blocks(decisions):
        rows = np.flatnonzero(np.asarray(decisions.fate[block]) != np.uint8(Fate.REJECTED))
        result, first, sizes = np.unique(
            np.asarray(strata[block])[rows], return_index=True, return_counts=True
        )
        counts.update(dict(zip(result.tolist(), sizes.tolist(), strict=True)))
        for stratum, at in zip(result.tolist(), first.tolist(), strict=True):
            row_of.setdefault(stratum, block.start + int(rows[at]))
        if len(counts) > MOST_COUNTED:
            counts = Counter(dict(counts.most_common(MOST_COUNTED // 2)))
            row_of = {stratum: row for stratum, row in row_of.items() if stratum in counts}
    largest = sorted(counts, key=lambda stratum: (-counts[stratum], row_of[stratum]))[:STRATA]
    return {stratum_name(stratum): row_of[stratum] for stratum in largest}


def _members(decisions: Decisions, clusters: dict[int, int]) -> list[int]:
    """The first rows that were left out for each of the clusters."""
    members: dict[int, list[int]] = {stayed: [] for stayed in clusters}
    if not clusters:
        return []
    for rows, stayed in _duplicates(decisions):
        for place in np.flatnonzero(np.isin(stayed, list(clusters))).tolist():
            of_cluster = members[int(stayed[place])]
            if len(of_cluster) < OF_A_CLUSTER - 1:
                of_cluster.append(int(rows[place]))
    return [row for of_cluster in members.values() for row in of_cluster]
