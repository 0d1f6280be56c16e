"""Which rows repeat an earlier one (see reference/dedup.py): open addressing, a thread a row.

A row claims a free slot with a compare-and-swap, or meets a row with its own hash there and leaves the
smaller of the two; a slot, once taken, keeps its hash. Which slot a hash gets depends on the order of
threads, which row it ends with does not: the smallest. Bytes moved: a row's hash, one or two sectors of the
table and one hash of another row, twice 8; random access, so about a tenth of the device's copy bandwidth is
to be expected.
"""

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda.device import Device, function, kernel
from forge_gpu.kernels.cuda.memory import thread
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.kernels.reference.dedup import check_shapes

LOW_FACTOR, HIGH_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)  # odd, of random bits
FREE = -1


@function
def _slot(low, high, shift):
    mixed = low * LOW_FACTOR + high * HIGH_FACTOR
    mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed * LOW_FACTOR >> shift)


@kernel
def insert(hashes, live, slots, shift, result):
    """result[i] = the slot of row i, -1 where it is not live. slots: int64[2^(64 - shift)], FREE at first."""
    i = thread()
    if i >= len(result):
        return
    if live[i] == 0:
        result[i] = -1
        return
    low, high = hashes[i, 0], hashes[i, 1]
    mask = np.int64(len(slots) - 1)
    at = _slot(low, high, shift)
    while True:
        there = cuda.atomic.cas(slots, at, FREE, i)
        if there == FREE:
            break
        if hashes[there, 0] == low and hashes[there, 1] == high:
            cuda.atomic.min(slots, at, i)
            break
        at = at + 1 & mask
    result[i] = at


@kernel
def lookup(slots, result):
    """result[i] = the row in slot result[i]; -1 stays."""
    i = thread()
    if i < len(result) and result[i] >= 0:
        result[i] = slots[result[i]]


def first_occurrence(hashes: U64, live: U8, device: Device) -> I64:
    """For each row the first live row with the same hash: int64[n], on the device.

    It is the row itself where it is the first, and -1 where it is not live.

    hashes: uint64[n, 2], (low, high). live: uint8[n], 0 or not; both on the host or the device. Raises
    ValueError where the shapes do not agree. Memory: the table, 16 to 32 bytes a row, and the result, 8.
    """
    check_shapes(hashes, live)
    n = len(hashes)
    bits = max(2 * n - 1, 1).bit_length()
    slots = device.xp.full(1 << bits, FREE, np.int64)
    result = device.xp.empty(n, np.int64)
    device.launch(insert, n, device.upload(hashes), device.upload(live), slots, np.uint64(64 - bits), result)
    device.launch(lookup, n, slots, result)
    return result
