"""Locality-sensitive hashing: how many bands of how many rows, and which pairs share a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from forge_gpu.dedup.buckets import pairs_of_band
from forge_gpu.dedup.grouped import pairs_by_sorting
from forge_gpu.dedup.pairs import Pairs
from forge_gpu.dedup.parted import BYTES_A_ROW
from forge_gpu.errors import ConfigError
from forge_gpu.hardware import shares
from forge_gpu.in_turn import by_threads
from forge_gpu.kernels.arrays import HOST, Arrays, Decide, on_host
from forge_gpu.kernels.layout import U64
from forge_gpu.plain import frozen

Number = TypeVar("Number", np.int64, np.uint64)

RECALL = 0.99
"""The share of pairs exactly at the threshold that the chosen bands must make candidates."""

MAX_ROWS_A_BAND = 255

ROOM_OF_BAND = 4 * 2**20
"""Bytes, with less of which the bitmap of a band of millions of rows would say little."""

ReadBand = Callable[[int], Iterable[U64]]
"""Gives band b's hashes of all rows in row order, in pieces of uint64[m]; called anew for each pass."""


@frozen
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
    read_band: ReadBand,
    bands: int,
    live: npt.NDArray[np.bool_],
    budget_bytes: int,
    threads: int = 1,
    folder: Path | None = None,
    decided: Decide = on_host,
) -> Pairs:
    """Pairs of rows that share a bucket of any band, to be closed by the caller.

    live: bool[n]; other rows are in no bucket. threads: work on a band each, where so many bands have room at
    once. folder: see Pairs and PartedRows. decided: where bands may be sorted. The pairs depend on none of
    the last four. Memory: `budget_bytes`, and what `pairs_of_band` says of a large bucket. Raises ValueError
    for more rows than pairs can name, OSError where the disk does not take them.
    """
    n = len(live)
    if n > 2**32:
        raise ValueError(f"{n} rows: pairs are kept in 64 bits, so there may be at most 2**32")
    room = shares.BUCKETS.of(budget_bytes)
    at_once = max(1, min(threads, room // max(min(ROOM_OF_BAND, BYTES_A_ROW * n), 1)))
    pairs = Pairs(n, shares.PAIRS.of(budget_bytes), folder)
    alive = np.ascontiguousarray(live).view(np.uint8)

    def work_on(band: int) -> None:
        for some in pairs_of_band(partial(read_band, band), alive, room // at_once, folder):
            pairs.add(some)

    def work_there(arrays: Arrays) -> bool:
        """Whether bands are not the host's; what is added twice is there once."""
        if arrays is HOST:
            return False
        for band in range(bands):
            for some in pairs_by_sorting(partial(read_band, band), alive, arrays, arrays.room(room)):
                pairs.add(some)
        return True

    if not decided(work_there, n):
        for _ in by_threads(work_on, range(bands), at_once):
            pass
    return pairs


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Ascending, without repeats; sorts `values` in place, many times as fast as numpy's `unique`."""
    values.sort()
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values
