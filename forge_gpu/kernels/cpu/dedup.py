"""Which rows repeat an earlier one (see reference/dedup.py): open addressing with linear probing.

The table has at least two slots a row. The slot comes from both words of the hash through a product, so
hashes that share a word or lie in one range spread all the same; equal hashes meet at their first slot.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import item64, prefetch, whole, word
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.kernels.reference.dedup import check_shapes

LOW_FACTOR, HIGH_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)  # odd, of random bits
AHEAD = 16  # rows between asking for a slot's cache line and using it


@inner
def _slot(hashes, i, shift):
    mixed = word(hashes, 16 * i) * LOW_FACTOR + word(hashes, 16 * i + 8) * HIGH_FACTOR
    mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed * LOW_FACTOR >> shift)


@inner
def _equal(hashes, i, j):
    same_low = item64(hashes, 2 * i) == item64(hashes, 2 * j)
    return same_low and item64(hashes, 2 * i + 1) == item64(hashes, 2 * j + 1)


@kernel
def _first_occurrence(hashes, live, slots, slot_address, shift, result):
    """slots: -1 where free, else the first row of a hash; 2^(64 - shift) of them."""
    n = len(result)
    mask = len(slots) - 1
    for i in range(n):
        if i + AHEAD < n:
            prefetch(slot_address, _slot(hashes, i + AHEAD, shift) * slots.itemsize)
        if not live[i]:
            result[i] = -1
            continue
        at = _slot(hashes, i, shift)
        while slots[at] >= 0 and not _equal(hashes, np.int64(slots[at]), i):
            at = at + 1 & mask
        if slots[at] < 0:
            slots[at] = i
        result[i] = slots[at]


def first_occurrence(hashes: U64, live: U8) -> I64:
    """For each row the first live row with the same hash: itself where it is the first, -1 where not live.

    hashes: uint64[n, 2], (low, high). live: uint8[n], 0 or not. Returns int64[n], an array of its own.
    Raises ValueError where the shapes do not agree. Memory: the table, 8 to 16 bytes a row (twice that from
    2^31 rows on), and the result, 8. Bytes moved: two cache lines a row.
    """
    check_shapes(hashes, live)
    n = len(hashes)
    hashes = np.ascontiguousarray(hashes, np.uint64)
    alive = np.array(live, np.uint8)
    bits = max(2 * n - 1, 1).bit_length()
    slots = np.full(1 << bits, -1, np.int32 if n < 2**31 else np.int64)
    result = np.empty(n, np.int64)
    _first_occurrence(whole(hashes), alive, slots, np.uint64(slots.ctypes.data), np.uint64(64 - bits), result)
    return result
