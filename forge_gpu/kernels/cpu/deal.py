"""Dealing whole groups of rows out to splits: see kernels.reference.deal."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.layout import I64, U8, U64


def deal(bounds: I64, column: I64, times: I64, keys: U64, lacking: I64) -> U8:
    """See kernels.reference.deal.deal. Reads 16 bytes a cell and 8 a group."""
    codes = np.zeros(len(keys), np.uint8)
    _deal(bounds, column, times, keys, lacking, lacking.sum(axis=1), np.empty(len(lacking), np.int64), codes)
    return codes


@kernel
def _deal(bounds, column, times, keys, lacking, total, chance, codes):
    splits = len(lacking)
    for group in range(len(keys)):
        start, end = bounds[group], bounds[group + 1]
        size = times[start:end].sum()
        for s in range(splits):
            chance[s] = _lack(column, times, start, end, lacking[s])
        if chance.sum() == 0:
            for s in range(splits):
                chance[s] = total[s] if total[s] >= size else 0
        chosen = _drawn(chance, keys[group])
        if chosen < 0:
            chosen = 0
            for s in range(splits):
                chosen = s if total[s] >= total[chosen] else chosen
        for c in range(start, end):
            lacking[chosen, column[c]] -= times[c]
        total[chosen] -= size
        codes[group] = chosen


@inner
def _lack(column, times, start, end, lacks):
    """What a split lacks in the group's strata; 0 where it lacks less than the group has in one of them."""
    lack = np.int64(0)
    for c in range(start, end):
        if lacks[column[c]] < times[c]:
            return np.int64(0)
        lack += lacks[column[c]]
    return lack


@inner
def _drawn(chance, key):
    """A split drawn with these chances; -1 when all are 0."""
    whole = chance.sum()
    if whole == 0:
        return -1
    point = np.int64((key >> np.uint64(32)) * np.uint64(whole) >> np.uint64(32))
    chosen = 0
    while point >= chance[chosen]:
        point -= chance[chosen]
        chosen += 1
    return chosen
