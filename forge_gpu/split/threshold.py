"""Splits by threshold: a row's split depends on its own key and the seed alone.

Adding or removing data moves no other row; the price is that sizes are only near the fractions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.fates import Fate
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.split.fractions import Splits
from forge_gpu.split.mixer import Stream, mix
from forge_gpu.split.quota import NOT_LIVE
from forge_gpu.split.select import blocks


def assign(hashes: U64, live: npt.NDArray[np.bool_], fractions: Splits, seed: int) -> U8:
    """The split of each row: uint8[n] of Fate.TRAIN, VALIDATION or TEST; NOT_LIVE where not live.

    hashes: uint64[n, 2], may be a mapped file. With h the row's seeded hash, test is h < ⌊t·2^64⌋,
    validation h < ⌊(t+v)·2^64⌋ of the others. Memory beyond the result: 16 MiB.
    """
    validation, test = fractions.exact()
    fates = np.full(len(live), NOT_LIVE, np.uint8)
    for block in blocks(len(live)):
        mixed = mix(np.asarray(hashes[block]), seed, Stream.SPLIT)
        fate = np.full(len(mixed), Fate.TRAIN, np.uint8)
        fate[_below(mixed, int((test + validation) * 2**64))] = Fate.VALIDATION
        fate[_below(mixed, int(test * 2**64))] = Fate.TEST
        fates[block] = np.where(live[block], fate, np.uint8(NOT_LIVE))
    return fates


def _below(mixed: U64, bound: int) -> npt.NDArray[np.bool_]:
    """mixed < bound, for bounds up to 2**64, which no uint64 holds."""
    if bound == 0:
        return np.zeros(len(mixed), np.bool_)
    return mixed <= np.uint64(bound - 1)
