"""Mixtures: how many rows of each source are used, and which."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import ConfigError
from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.plain import frozen
from forge_gpu.split.fractions import rounded
from forge_gpu.split.mixer import Stream
from forge_gpu.split.quota import FIRST, Rows, count_strata, draw


def shares(
    available: Sequence[int], weights: Sequence[float] | None, caps: Sequence[int | None] | None
) -> list[int]:
    """How many rows of each source to use, of those it has.

    caps: at most so many rows of a source. weights: the sources' shares of the mixture, of any sum; no row
    is used twice, so the mixture is the largest in which the shares hold, up to rounding; a source of weight
    0 is left out. Raises ConfigError.
    """
    counts = list(available)
    for index, cap in enumerate(caps or ()):
        if cap is not None:
            if cap < 0:
                raise ConfigError(f"the cap of source {index + 1} is {cap}: it must be 0 or more")
            counts[index] = min(counts[index], cap)
    if weights is None:
        return counts
    if len(weights) != len(counts):
        raise ConfigError(f"{len(weights)} weights for {len(counts)} sources: give each source one")
    exact = [_exactly(weight) for weight in weights]
    if not any(exact):
        raise ConfigError("all weights of the mixture are 0: give at least one source a weight above 0")
    whole = min(Fraction(count) / weight for count, weight in zip(counts, exact, strict=True) if weight)
    return [rounded(1, whole * weight) for weight in exact]


def sufficient_repeats(there: Sequence[int], weights: Sequence[float] | None) -> list[int]:
    """How often each source would have to come, at least, so that the shares hold and no row of another is
    left out: 1 or more, 0 where a source that has a share has nothing.

    there: what each source offers once. weights: shares of their sum; None: all that there is is used.
    """
    exact = [Fraction(0) for _ in there] if weights is None else [_exactly(weight) for weight in weights]
    whole = max(
        (count / weight for count, weight in zip(there, exact, strict=True) if weight), default=Fraction(0)
    )
    return [
        max(1, ceil(whole * weight / count)) if count else int(not weight)
        for count, weight in zip(there, exact, strict=True)
    ]


def _exactly(weight: float) -> Fraction:
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"a weight of the mixture is {weight}: it must be a number from 0 on")
    return Fraction(str(weight))


def sample(
    source: npt.NDArray[np.unsignedinteger],
    hashes: U64,
    live: npt.NDArray[np.bool_],
    required: Sequence[int],
    seed: int,
    budget_bytes: int,
    arrays: Arrays = HOST,
) -> npt.NDArray[np.bool_]:
    """Which live rows are used: bool[n], required[s] rows of each source s, by seeded hash of their key.

    source: unsigned[n], the number of each row's source; hashes: uint64[n, 2]; live: bool[n]; all may be
    mapped files. The rows of a source that a smaller share would use are among those of a larger one.
    Memory beyond twice the result: `budget_bytes` or 24 MiB, whichever is more.
    """
    rows = Rows(source, hashes, live, seed, Stream.SAMPLE, arrays)
    values, counts = count_strata(rows)
    first = np.array([required[value] for value in values.tolist()], np.int64)
    drawn = draw(rows, values, counts, np.minimum(first, counts), np.zeros_like(first), budget_bytes)
    used: npt.NDArray[np.bool_] = drawn == FIRST
    return used


@frozen
class Passes:
    """How often rows are used. whole: bool[n], rows that a source offers; count: int64[sources], how often
    all of these are used; rest: bool[n], rows of them that are used once more."""

    whole: npt.NDArray[np.bool_]
    count: I64
    rest: npt.NDArray[np.bool_]

    def used(self, source: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.bool_]:
        """Rows that are used at all: bool[n]."""
        used: npt.NDArray[np.bool_] = self.whole & (self.count > 0)[source] | self.rest
        return used

    def copies(self, source: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint32]:
        """How often each row is used: uint32[n]."""
        copies: npt.NDArray[np.uint32] = self.count.astype(np.uint32)[source] * self.whole + self.rest
        return copies


def sample_repeated(
    source: npt.NDArray[np.unsignedinteger],
    hashes: U64,
    live: npt.NDArray[np.bool_],
    size: npt.NDArray[np.unsignedinteger] | None,
    weights: Sequence[float] | None,
    caps: Sequence[int | None] | None,
    repeats: Sequence[int] | None,
    sources: int,
    seed: int,
    budget_bytes: int,
    arrays: Arrays = HOST,
) -> tuple[Passes, I64]:
    """(how often live rows are used; what each source offers: int64[sources], the sum of its rows' sizes).

    size: unsigned[n], of each row; None: each counts 1. weights are shares of their sum; each row of a source
    may be used as often as repeats says of it, once where that is None. The others as in `sample`.

    A source is used in whole passes, and then as many of its rows as do not go over its share, in the order
    in which `sample` uses them; that number is searched, of all sources at once.
    """

    def drawn(rows: Sequence[int]) -> tuple[npt.NDArray[np.bool_], I64]:
        used = sample(source, hashes, live, rows, seed, budget_bytes, arrays)
        return used, available(source, used, sources) if size is None else sums_of(
            source, size, used, sources
        )

    most = shares(available(source, live, sources).tolist(), None, caps)
    whole, there = drawn(most)
    offered = there if repeats is None else there * np.array(repeats, np.int64)
    required = np.array(shares(offered.tolist(), weights, None), np.int64)
    passes, rest = np.divmod(required, np.maximum(there, 1))
    low, high = np.zeros(sources, np.int64), np.array(most, np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        fits = drawn(middle.tolist())[1] <= rest
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    # Rows of no size are in no further pass, and are none the less of a source that has no share.
    none_left = (passes > 0) & (rest == 0)
    left_out = required == 0 if weights is None else np.array(weights) == 0
    low[none_left | left_out] = 0
    return Passes(whole, passes, drawn(low.tolist())[0]), there


def sums_of(
    source: npt.NDArray[np.unsignedinteger],
    size: npt.NDArray[np.unsignedinteger],
    rows: npt.NDArray[np.bool_],
    sources: int,
) -> I64:
    """The sizes of these rows, of each source: int64[sources], exact below 2^53."""
    return np.bincount(source[rows], size[rows], sources).astype(np.int64)


def available(source: npt.NDArray[np.unsignedinteger], live: npt.NDArray[np.bool_], sources: int) -> I64:
    """Live rows of each source: int64[sources]."""
    return np.bincount(source[live], minlength=sources).astype(np.int64)
