"""Locality-sensitive hashing: how many bands of how many rows, and which pairs share a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import ConfigError
from forge_gpu.hardware import shares
from forge_gpu.kernels.layout import I64, U64

Number = TypeVar("Number", np.int64, np.uint64)

RECALL = 0.99
"""The share of pairs exactly at the threshold that the chosen bands must make candidates."""

MAX_ROWS_A_BAND = 255

BYTES_A_ROW = 56
"""Peak of one band's buckets: hash and row, their copies, and the sorted words."""

BYTES_A_PAIR = 48
"""Peak of collecting candidate pairs: new ones, those before, and both together while they are sorted."""

ReadBand = Callable[[int], Iterable[U64]]
"""Gives band b's hashes of all rows in row order, in pieces of uint64[m]; called anew for each pass."""


@dataclass(frozen=True, slots=True)
class Bands:
    """`count` bands of `rows` values of a signature each."""

    count: int
    rows: int

    @staticmethod
    def choose(threshold: float, permutations: int) -> Bands:
        """The longest bands, so the fewest false candidates, that find RECALL of the pairs at the threshold.

        Where not even bands of one value do, those. Raises ConfigError.
        """
        if not 0 < threshold <= 1:
            raise ConfigError(f"the threshold of near-duplicates is {threshold}: it lies above 0, up to 1")
        if not 1 <= permutations <= 4096:
            raise ConfigError(f"{permutations} permutations: it takes 1 to 4096")
        for rows in range(min(permutations, MAX_ROWS_A_BAND), 1, -1):
            bands = Bands(permutations // rows, rows)
            if bands.curve(threshold) >= RECALL:
                return bands
        return Bands(permutations, 1)

    def curve(self, similarity: float) -> float:
        """The chance that a pair of this Jaccard similarity becomes a candidate: 1 - (1 - s^rows)^count."""
        missed: float = (1 - similarity**self.rows) ** self.count
        return 1 - missed

    def false_candidates(self, threshold: float) -> float:
        """The share of pairs that become candidates among pairs spread evenly below the threshold."""
        steps = 1000
        return sum(self.curve(threshold * (step + 0.5) / steps) for step in range(steps)) / steps

    def explain(self, threshold: float) -> str:
        """One line for the plan: recall at the threshold and the expected false candidates."""
        lower = (threshold * 0.75, threshold * 0.5)
        at_lower = ", ".join(f"{self.curve(similarity):.2%} at {similarity:.2g}" for similarity in lower)
        return (
            f"{self.count} bands of {self.rows} values find {self.curve(threshold):.2%} of the pairs at "
            f"Jaccard {threshold:g}; of pairs spread evenly below it {self.false_candidates(threshold):.1%} "
            f"are false candidates, which are compared and dropped ({at_lower})"
        )


def candidates(
    read_band: ReadBand, bands: int, live: npt.NDArray[np.bool_], budget_bytes: int
) -> Iterator[I64]:
    """Pairs of rows that share a bucket of any band: pieces of int64[m, 2], smaller row first. Each is sorted
    by the larger row, and then the smaller: rows of a large bucket are paired with its few first ones, so
    consecutive pairs have few rows in all.

    live: bool[n]; other rows are in no bucket. As many bands go into a piece as `budget_bytes` allows, so a
    pair may come in several pieces, but in none twice; the pairs of all pieces together do not depend on
    the budget. When a band's rows do not fit half of it, the band's hashes are taken by ranges, a pass over
    the band for each. Memory: `budget_bytes`, or what one range or bucket needs if that is more: BYTES_A_ROW
    for its rows and BYTES_A_PAIR for its pairs, at most 16 a row (kernels.reference.union).
    """
    n = len(live)
    if n > 2**32:
        raise ValueError(f"{n} rows: pairs are kept in 64 bits, so there may be at most 2**32")
    room = max(shares.BUCKETS.of(budget_bytes), 1)
    parts = max(-(-n * BYTES_A_ROW // room), 1)
    parts = min(parts, max(n // 1024, 1))
    held = np.zeros(0, np.uint64)
    for band in range(bands):
        for part in range(parts):
            result = _bucket_pairs(read_band(band), live, part, parts)
            if (len(held) + len(result)) * BYTES_A_PAIR > room and len(held):
                yield _unpacked(held, n)
                held = held[:0]
            held = distinct(np.concatenate((held, result)))
    if len(held):
        yield _unpacked(held, n)


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Ascending, without repeats; sorts `values` in place, many times as fast as numpy's `unique`."""
    values.sort()
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values


def _bucket_pairs(pieces: Iterable[U64], live: npt.NDArray[np.bool_], part: int, parts: int) -> U64:
    """Pairs (a, b) of one band and one range of its hashes, as b·n + a."""
    from forge_gpu.kernels.cpu.union import bucket_pairs

    low, high = np.uint64(2**64 * part // parts), np.uint64(2**64 * (part + 1) // parts - 1)
    hashes: list[U64] = []
    rows: list[I64] = []
    start = 0
    for piece in pieces:
        inside = np.asarray(live[start : start + len(piece)])
        if parts > 1:
            inside = inside & (piece >= low) & (piece <= high)
        row = np.flatnonzero(inside)
        hashes.append(np.asarray(piece)[row])
        rows.append(row + start)
        start += len(piece)
    if not hashes:
        return np.zeros(0, np.uint64)
    several = len(hashes) > 1
    pairs = bucket_pairs(
        np.concatenate(hashes) if several else hashes[0], np.concatenate(rows) if several else rows[0]
    )
    packed: U64 = pairs[:, 1].astype(np.uint64) * np.uint64(len(live)) + pairs[:, 0].astype(np.uint64)
    return packed


def _unpacked(packed: U64, n: int) -> I64:
    second, first = np.divmod(packed, np.uint64(n))
    return np.stack((first, second), axis=1).astype(np.int64)
