"""Dealing whole groups of rows out to splits, one after the other."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import I64, U8, U64


def deal(bounds: I64, column: I64, times: I64, keys: U64, lacking: I64) -> U8:
    """The split of each group, in the order of the groups: uint8[g]. Rows given are taken off `lacking`.

    bounds: int64[g + 1]; group i has times[c] rows in stratum column[c] for c in bounds[i] ... bounds[i+1]-1.
    keys: uint64[g], random. lacking: int64[splits, strata], the rows that each split still lacks of each
    stratum, in all below 2**31; it may fall below 0.

    A group goes to one of the splits that lack as many rows in each of its strata, drawn with a chance in
    proportion to what they lack there; where there is none, to one of those that lack as many in all, in
    proportion to that; else to the one that lacks most, the last of several.
    """
    splits = range(len(lacking))
    total = [int(lacks.sum()) for lacks in lacking]
    codes = np.zeros(len(keys), np.uint8)
    for group in range(len(keys)):
        cells = range(bounds[group], bounds[group + 1])
        size = sum(int(times[c]) for c in cells)
        chance = [
            sum(int(lacking[s, column[c]]) for c in cells)
            if all(lacking[s, column[c]] >= times[c] for c in cells)
            else 0
            for s in splits
        ]
        if not any(chance):
            chance = [total[s] if total[s] >= size else 0 for s in splits]
        if any(chance):
            point = (int(keys[group]) >> 32) * sum(chance) >> 32
            chosen = 0
            while point >= chance[chosen]:
                point -= chance[chosen]
                chosen += 1
        else:
            chosen = max(splits, key=lambda s: (total[s], s))
        for c in cells:
            lacking[chosen, column[c]] -= times[c]
        total[chosen] -= size
        codes[group] = chosen
    return codes
