"""Bytes in and out of device memory, and whole warps that copy.

A kernel sees memory twice: as bytes, `memory: uint8[]`, and as the same bytes in aligned words,
`words: uint64[]`; so each load and store is aligned, whatever a text's address is. What a word holds is put
together from two aligned ones. Addresses, sizes and counts are int64; words and shifts are uint64, as numba
makes float64 of a mix. Nothing here needs a warp's shuffles or votes: numba's simulator has neither.

Reading contract: every byte buffer starts at an address divisible by 8 and has at least 16 readable bytes
behind its last (`device.Device.window` and `device.Device.bytes` see to it); what they hold is never used.
"""

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda.device import WARP, function

ONE, EIGHT, WORD_BITS = np.uint64(1), np.uint64(8), np.uint64(64)
EACH = np.uint64(0x0101010101010101)
HIGH_BITS, ALL_BITS = EACH * np.uint64(0x80), np.uint64(0xFFFFFFFFFFFFFFFF)
"""Of each byte of a word: its lowest bit, its highest, all."""
LAST_BIT = np.uint64(63)
SEVEN, THREE = np.uint64(7), np.uint64(3)


@function
def byte(memory, i):
    """Byte i, as int64 in 0..255."""
    return np.int64(memory[np.uint64(i)])


@function
def word(words, i):
    """The eight bytes at byte i, little-endian, as uint64: two aligned loads."""
    at = np.uint64(i)
    k = at >> THREE
    shift = (at & SEVEN) << THREE
    return words[k] >> shift | (words[k + ONE] << ONE) << (LAST_BIT - shift)


@function
def half(words, i):
    """The four bytes at byte i, as uint64."""
    return word(words, i) & np.uint64(0xFFFFFFFF)


@function
def bytes_before(marks):
    """How many bytes of a word lie below the lowest one whose highest bit is in `marks`; 8 where none is."""
    return np.int64(cuda.popc((marks - ONE) & ~marks)) >> np.int64(3)


@function
def place():
    """(number of this thread's warp in the grid, lane)."""
    thread = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
    return thread // WARP, thread % WARP


@function
def thread():
    """Number of this thread in the grid."""
    return np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)


@function
def row_at(offsets, count, position):
    """The last of `count` rows whose offset is at most `position`, which is at least offsets[0]."""
    low, high = np.int64(0), np.int64(count)
    while high - low > 1:
        middle = (low + high) >> 1
        if offsets[np.uint64(middle)] <= position:
            low = middle
        else:
            high = middle
    return low


@function
def copy_by_warp(memory, words, start, target, target_words, begin, end, lane):
    """The bytes from `start` to target[begin:end], by the 32 lanes of a warp: 256 bytes a step, four at once.

    Bytes before the first and behind the last aligned word of the target go one a lane.
    """
    if end - begin <= WARP:
        if lane < end - begin:
            target[np.uint64(begin + lane)] = memory[np.uint64(start + lane)]
        return
    first = (begin + 7) >> 3
    last = end >> 3
    if lane < 8 * first - begin:
        target[np.uint64(begin + lane)] = memory[np.uint64(start + lane)]
    if lane < end - 8 * last:
        target[np.uint64(8 * last + lane)] = memory[np.uint64(start + 8 * last - begin + lane)]
    k = first + lane
    source = start - begin
    while k < last:  # all loads of a step before its stores: none waits for another
        a = word(words, source + 8 * k)
        b = c = d = np.uint64(0)
        if k + WARP < last:
            b = word(words, source + 8 * k + 8 * WARP)
        if k + 2 * WARP < last:
            c = word(words, source + 8 * k + 16 * WARP)
        if k + 3 * WARP < last:
            d = word(words, source + 8 * k + 24 * WARP)
        target_words[np.uint64(k)] = a
        if k + WARP < last:
            target_words[np.uint64(k + WARP)] = b
        if k + 2 * WARP < last:
            target_words[np.uint64(k + 2 * WARP)] = c
        if k + 3 * WARP < last:
            target_words[np.uint64(k + 3 * WARP)] = d
        k += 4 * WARP
