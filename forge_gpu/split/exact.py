"""Splits of exact size, stratified or not: train, validation and test.

Rows are ordered by (stratum, seeded hash of the dedup key, row). With f one fraction and R(q) = ⌊q·f + ½⌋,
the stratum at positions [a, b) owes that split R(b) - R(a) rows. So a split has ⌊n·f + ½⌋ rows in total,
and, since R(q) - q·f lies in (-½, ½], each stratum is less than one row off its own share. Inside a
stratum the smallest seeded hashes are test, the next validation, the rest train: a random sample, which
changes little when data is added.

Tiny strata may owe more rows to test and validation than they have; `quotas` moves those turns to others.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.fates import Fate
from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.split.fractions import Splits
from forge_gpu.split.mixer import Stream
from forge_gpu.split.quota import FIRST, NOT_LIVE, REST, SECOND, Rows, count_strata, draw

FATES = np.full(256, NOT_LIVE, np.uint8)
FATES[[FIRST, SECOND, REST]] = Fate.TEST, Fate.VALIDATION, Fate.TRAIN


def assign(
    stratum: U64 | None,
    hashes: U64,
    live: npt.NDArray[np.bool_],
    fractions: Splits,
    seed: int,
    budget_bytes: int,
    arrays: Arrays = HOST,
) -> U8:
    """The split of each row: uint8[n] of Fate.TRAIN, VALIDATION or TEST; NOT_LIVE where not live.

    stratum: uint64[n], equal for rows of one stratum, or None for no strata; hashes: uint64[n, 2], the
    128-bit dedup keys; live: bool[n]. All may be mapped files: they are read in blocks. Memory beyond twice
    the result: `budget_bytes` or 24 MiB, whichever is more, and 32 bytes a distinct stratum. The result
    does not depend on the budget.
    """
    rows = Rows(stratum, hashes, live, seed, Stream.SPLIT, arrays)
    values, counts = count_strata(rows)
    tests, validations = quotas(counts, fractions)
    return FATES[draw(rows, values, counts, tests, validations, budget_bytes)]


def quotas(counts: I64, fractions: Splits) -> tuple[I64, I64]:
    """How many rows of each stratum are test and validation: int64[s] each, strata in their order.

    With t, v the fractions and n = sum(counts): sum(test) = ⌊n·t + ½⌋, sum(validation) = ⌊n·v + ½⌋ (or the
    n - sum(test) rows that are left), and each stratum of size m has |test - m·t| <= 1 and
    |validation - m·v| <= 1.

    Proof. Let x, y be a stratum's excess, test - m·t and validation - m·v, both in (-1, 1) at first. Call it
    overfull when test + validation > m. That is one row too many, since x + y < 2; and x + y >= 1, so
    x, y > 0 and taking one row of either split away leaves it within one row. All excesses add up to at
    most ½ + ½; with k overfull strata, and full ones having x + y = m(1 - t - v) >= 0, the strata with room
    add up to at most 1 - k <= 0. So one of them has x <= 0 or y <= 0, and takes the row while staying
    within one row. This repeats until k = 0: first validation rows move, as far as a stratum with y <= 0
    has room, then test rows. No stratum takes a row of one split twice, for then its excess is positive.
    Where n·t and n·v both round up to n + 1 rows in all, one overfull stratum first gives its validation
    row up, which lowers the sum by one.
    """
    validation, test = fractions.exact()
    counts = np.asarray(counts, np.int64)
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    tests, validations = np.diff(_rounded(ends, test)), np.diff(_rounded(ends, validation))
    overfull = np.flatnonzero(tests + validations > counts)
    if len(overfull) and int(tests.sum() + validations.sum()) > int(ends[-1]):
        validations[overfull[-1]] -= 1
        overfull = overfull[:-1]
    for moved, fraction in ((validations, validation), (tests, test)):
        takers = (tests + validations < counts) & (_excess(moved, counts, fraction) <= 0)
        to = np.flatnonzero(takers)[: len(overfull)]
        moved[to] += 1
        moved[overfull[: len(to)]] -= 1
        overfull = overfull[len(to) :]
    return tests, validations


def _exactly(values: I64, fraction: Fraction) -> npt.NDArray[Any]:
    """`values` in a type that holds 2·values·fraction's terms exactly: int64, or Python's integers."""
    largest = (int(values.max(initial=0)) + 1) * 2 * max(fraction.numerator, fraction.denominator)
    return values if largest < 2**62 else values.astype(object)


def _rounded(values: I64, fraction: Fraction) -> I64:
    scaled = _exactly(values, fraction) * (2 * fraction.numerator)
    rounded: I64 = ((scaled + fraction.denominator) // (2 * fraction.denominator)).astype(np.int64)
    return rounded


def _excess(given: I64, counts: I64, fraction: Fraction) -> npt.NDArray[Any]:
    share = _exactly(counts, fraction) * fraction.numerator
    excess: npt.NDArray[Any] = _exactly(given, fraction) * fraction.denominator - share
    return excess
