"""Splits that keep groups whole: conversations, users, documents, clusters of near-duplicates.

Groups of several rows are dealt out first, the largest before smaller ones and then the smallest row first:
each goes to a split with room for it in the group's strata, drawn by seeded hash with a chance in
proportion to what the splits lack there (kernels.reference.deal). So large and small groups are in every
split. Rows that are alone then fill up what is missing, and with enough of them all sizes are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from forge_gpu.fates import Fate, name
from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.kernels.reference.dedup import FirstOccurrence
from forge_gpu.plain import frozen
from forge_gpu.split.exact import FATES, quotas
from forge_gpu.split.fractions import Splits
from forge_gpu.split.mixer import Stream
from forge_gpu.split.quota import NOT_LIVE, Rows, count_strata, draw

TOLERANCE = 0.01
"""How far a split's share of the rows may be from its fraction before a reason is given."""

_SPLITS = (Fate.TEST, Fate.VALIDATION, Fate.TRAIN)  # in the order of quota.FIRST, SECOND, REST

Bool = npt.NDArray[np.bool_]


@frozen
class GroupSplit:
    """fates: uint8[n], codes of fates.Fate, NOT_LIVE where not live. reasons: a line for each split whose
    share is off by more than TOLERANCE."""

    fates: U8
    reasons: tuple[str, ...]


def groups_of(keys: U64, present: Bool, first_occurrence: FirstOccurrence | None = None) -> I64:
    """The group of each row, as its smallest row: int64[n]. keys: uint64[n], equal within a group; rows that
    are not `present` (the column is null or missing) are groups of their own. first_occurrence: an engine's;
    the CPU's kernel where none is given. Memory: 60 bytes a row."""
    from forge_gpu.kernels.cpu import dedup

    pairs = np.stack((keys, np.zeros_like(keys)), axis=1)
    first: I64 = (first_occurrence or dedup.first_occurrence)(pairs, present.astype(np.uint8))
    return np.where(first < 0, np.arange(len(keys)), first)


def merge(*groupings: I64) -> I64:
    """The finest grouping that keeps the groups of all of them whole: int64[n], the smallest row of each.

    Each of `groupings` is of that form too, as `groups_of` and clusters' labels are.
    """
    from forge_gpu.kernels.cpu.union import flatten, unite

    parent = np.arange(len(groupings[0]))
    for grouping in groupings:
        joined = np.flatnonzero(grouping != np.arange(len(grouping)))
        unite(parent, np.stack((grouping[joined], joined), axis=1))
    flatten(parent)
    return parent


def assign(
    group: I64,
    stratum: U64 | None,
    hashes: U64,
    live: Bool,
    fractions: Splits,
    seed: int,
    budget_bytes: int,
    arrays: Arrays = HOST,
) -> GroupSplit:
    """Splits in which no group is torn.

    group: int64[n], the smallest row of each row's group; stratum: uint64[n] or None; hashes: uint64[n, 2];
    live: bool[n]. Sizes come as near to those of `exact.quotas` as the groups allow, in every stratum and in
    total. Memory: about 100 bytes a row of a group of several rows, 17 a row otherwise, and `budget_bytes`.
    """
    rows = Rows(stratum, hashes, live, seed, Stream.SPLIT, arrays)
    values, counts = count_strata(rows)
    tests, validations = quotas(counts, fractions)
    lacking = np.stack((tests, validations, counts - tests - validations))
    required = lacking.sum(axis=1)
    size = np.bincount(group[live], minlength=len(live))
    several = live & (size[group] > 1)
    fates = np.full(len(live), NOT_LIVE, np.uint8)
    _deal(fates, group, several, rows, values, lacking)
    alone = Rows(stratum, hashes, live & ~several, seed, Stream.SPLIT, arrays)
    given = required - lacking.sum(axis=1)
    single_values, single_counts = count_strata(alone)
    shares = _shares(lacking[:, np.searchsorted(values, single_values)], single_counts, required - given)
    drawn = draw(alone, single_values, single_counts, shares[0], shares[1], budget_bytes)
    fates[alone.live] = FATES[drawn[alone.live]]
    return GroupSplit(fates, tuple(_reasons(fates, fractions, int(size.max(initial=0)))))


def _deal(fates: U8, group: I64, several: Bool, rows: Rows, values: U64, lacking: I64) -> None:
    """Assign the groups of several rows, and take their rows off `lacking`, int64[3, strata]."""
    from forge_gpu.kernels.cpu.deal import deal

    arrays, xp = rows.arrays, rows.arrays.xp
    row = np.flatnonzero(several)
    labels, index, sizes = xp.unique(arrays.there(group[row]), return_inverse=True, return_counts=True)
    order = arrays.ascending(-sizes)  # of equal size the smallest label, which comes first
    rank = xp.empty_like(order)
    rank[order] = xp.arange(len(order))
    place = rank[index]
    cell = place * max(len(values), 1)
    if rows.stratum is not None:
        cell += xp.searchsorted(arrays.there(values), arrays.there(rows.stratum[row]))
    cells, times = map(arrays.here, xp.unique(cell, return_counts=True))
    at, column = np.divmod(cells, max(len(values), 1))
    bounds = np.searchsorted(at, np.arange(len(labels) + 1))
    keys = arrays.here(rows.keys(arrays.here(labels[order])))
    codes: U8 = deal(bounds, column, times, keys, lacking)
    fates[row] = np.array(_SPLITS, np.uint8)[codes[arrays.here(place)]]


def _shares(lacking: I64, counts: I64, required: I64) -> I64:
    """How many of the single rows of each stratum go to each split: int64[3, s].

    In proportion to what the splits lack there; then rows are moved, over all strata alike, from splits that
    would have more than `wanted`, int64[3], to those that would have less.
    """
    need = np.maximum(lacking, 0)
    shares = np.diff(_proportional(np.cumsum(need, axis=0), counts, need.sum(axis=0)), axis=0, prepend=0)
    for more in range(len(_SPLITS)):
        for less in range(len(_SPLITS)):
            over, under = shares[more].sum() - required[more], required[less] - shares[less].sum()
            move = min(over, under, shares[more].sum())
            if move > 0:
                ends = _proportional(np.cumsum(shares[more]), move, shares[more].sum())
                moved = np.diff(ends, prepend=0)
                shares[more] -= moved
                shares[less] += moved
    return shares


def _proportional(parts: I64, count: I64, whole: I64) -> I64:
    """⌊parts·count/whole + ½⌋; 0 where whole is 0."""
    whole = np.maximum(whole, 1)
    return (2 * parts * count + whole) // (2 * whole)


def _reasons(fates: U8, fractions: Splits, largest: int) -> Iterator[str]:
    validation, test = fractions.exact()
    n = int(np.count_nonzero(fates != NOT_LIVE))
    for split, fraction in zip(_SPLITS, (test, validation, 1 - test - validation), strict=True):
        size = int(np.count_nonzero(fates == split))
        if n and abs(size / n - fraction) > TOLERANCE:
            yield (
                f"{name(split)} has {size / n:.1%} of the rows, not {float(fraction):.1%}: groups are kept "
                f"whole, and the largest has {largest} of {n} rows ({largest / n:.1%})"
            )
