"""Splits by time: the oldest rows are train, then validation, the newest test; equal times stay together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from forge_gpu.fates import Fate
from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.split.fractions import Splits
from forge_gpu.split.quota import NOT_LIVE
from forge_gpu.split.select import blocks, select

_SIGN = np.uint64(1 << 63)


def assign(times: I64, live: npt.NDArray[np.bool_], fractions: Splits, arrays: Arrays = HOST) -> U8:
    """The split of each row: uint8[n] of Fate.TRAIN, VALIDATION or TEST; NOT_LIVE where not live.

    times: int64[n], may be a mapped file. The wanted cuts of the n rows in order of time lie before the
    last ⌊n·t + ½⌋ rows, and ⌊n·v + ½⌋ rows before that. A cut that would part equal times moves to the
    nearer edge of them, the earlier one when both are as near; so a split may come out empty when many
    rows share a time. Memory beyond the result: 16 MiB.
    """

    def keys() -> Iterator[U64]:
        for block in blocks(len(live)):
            now = np.asarray(times[block])[np.asarray(live[block])]
            yield arrays.there(now.view(np.uint64)) ^ _SIGN

    n = sum(int(np.count_nonzero(live[block])) for block in blocks(len(live)))
    validation, test = fractions.counts(n)
    fates = np.full(len(live), NOT_LIVE, np.uint8)
    bounds = [_bound(keys, n, cut, arrays) for cut in (n - test - validation, n - test)]
    for block in blocks(len(live)):
        now = np.asarray(times[block])
        fate = np.full(len(now), Fate.TRAIN, np.uint8)
        for bound, later in zip(bounds, (Fate.VALIDATION, Fate.TEST), strict=True):
            if bound is not None:
                fate[now >= bound] = later
        fates[block] = np.where(live[block], fate, np.uint8(NOT_LIVE))
    return fates


def _bound(keys: Callable[[], Iterator[U64]], n: int, cut: int, arrays: Arrays) -> int | None:
    """The first time after the cut that is wanted before position `cut`; None when no row comes after."""
    if cut == n:
        return None
    result = select(keys, cut, arrays)
    time = result.key - 2**63
    if cut - result.below <= result.below + result.equal - cut:
        return time
    return time + 1 if result.below + result.equal < n else None
