"""Splits by threshold: a row's split depends on its own key and the seed alone.

Adding or removing data moves no other row; the price is that sizes are only near the fractions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.fates import Fate
from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.split.fractions import Splits
from forge_gpu.split.mixer import Stream, mix
from forge_gpu.split.quota import NOT_LIVE
from forge_gpu.split.select import blocks


def assign(
    hashes: U64, live: npt.NDArray[np.bool_], fractions: Splits, seed: int, arrays: Arrays = HOST
) -> U8:
    """The split of each row: uint8[n] of Fate.TRAIN, VALIDATION or TEST; NOT_LIVE where not live.

    hashes: uint64[n, 2], may be a mapped file. With h the row's seeded hash, test is h < ⌊t·2^64⌋,
    validation h < ⌊(t+v)·2^64⌋ of the others. Memory beyond the result: 16 MiB.
    """
    validation, test = fractions.exact()
    bounds = (int((test + validation) * 2**64), Fate.VALIDATION), (int(test * 2**64), Fate.TEST)
    fates = np.full(len(live), NOT_LIVE, np.uint8)
    for block in blocks(len(live)):
        mixed = mix(arrays.there(hashes[block]), seed, Stream.SPLIT)
        fate = arrays.xp.full(len(mixed), int(Fate.TRAIN), np.uint8)
        for bound, of_bound in bounds:
            if bound:  # up to 2**64, which no uint64 holds
                fate[mixed <= np.uint64(bound - 1)] = int(of_bound)
        fates[block] = np.where(live[block], arrays.here(fate), np.uint8(NOT_LIVE))
    return fates
