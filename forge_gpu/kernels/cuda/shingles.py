"""Texts as units for shingles (see reference/shingles.py): a thread a row decodes and normalises.

A unit is a code point or the key of a word. What a byte belongs to depends on all bytes before it, as nothing
is taken for valid UTF-8, so a row goes by one thread: very long rows are slow here. Bytes moved: the rows
once, and 4 or 8 bytes a unit. Expected: a tenth of the device's copy bandwidth.
"""

import numpy as np

from forge_gpu.kernels.cuda.device import function, kernel
from forge_gpu.kernels.cuda.memory import byte, thread
from forge_gpu.kernels.reference.shingles import LENGTH_WEIGHT, MAX_UNITS, SPACE, WORD_BASE, WORDS

BASE, ONE, LENGTH_FACTOR = np.uint64(WORD_BASE), np.uint64(1), np.uint64(LENGTH_WEIGHT)
HALF = np.uint64(32)
GAP = np.int64(SPACE)


@function
def _code_point(memory, i, end):
    """(code point, its bytes) at i, as the reference reads bytes that may be no UTF-8."""
    lead = byte(memory, i)
    width = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if width == 1 or i + width > end:
        return lead, np.int64(1)
    point = lead & (0x7F >> width)
    for k in range(1, width):
        point = point << 6 | byte(memory, i + k) & 0x3F
    return point, np.int64(width)


@kernel
def units(memory, base, offsets, kind, fold, result, counts):
    """result[offsets[r]:] = the units of row r, counts[r] of them; places as in the text.

    kind: CHARACTERS or WORDS. fold: uint32[...], see the reference. result: uint32[bytes] or, for words,
    uint64[bytes]; counts: int64[n].
    """
    r = thread()
    if r >= len(counts):
        return
    first = offsets[r] - offsets[0]
    at = first
    i, end = base + offsets[r], base + offsets[r + 1]
    key = np.uint64(0)
    waiting = began = False
    while i < end:
        point, size = _code_point(memory, i, end)
        i += size
        if point < len(fold):
            point = np.int64(fold[point])
        if point == GAP:
            waiting = began
            continue
        if kind == WORDS:
            if (waiting or point == 0x20) and key != 0:
                result[at] = key
                at += 1
                key = np.uint64(0)
            if point != 0x20:
                key = (key + np.uint64(point) + np.uint64(1)) * BASE
        else:
            if waiting:
                result[at] = 0x20
                at += 1
            result[at] = point
            at += 1
        waiting = False
        began = True
    if key != 0:
        result[at] = key
        at += 1
    counts[r] = at - first


@function
def fmix32(h):
    h = np.uint32((h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B))
    h = np.uint32((h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ h >> np.uint32(16))


@function
def fmix64(h):
    h = (h ^ h >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ h >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ h >> np.uint64(33)


@function
def hash_of_words(units, at, count, weights):
    """The hash of the shingle of `count` words at `at`: uint64 both. weights: uint64[count] or more."""
    k, total = np.uint64(0), count * LENGTH_FACTOR
    while k < count:
        total += np.uint64(units[at + k]) * weights[k]
        k += ONE
    return fmix64(total)


@function
def hash_of(units, at, count, kind, weights):
    """The hash of the shingle of `count` units at `at`. weights: uint64[64]: those of words, or of the low
    and the high half of characters."""
    at, k, end = np.uint64(at), np.uint64(0), np.uint64(count)
    if kind == WORDS:
        return hash_of_words(units, at, end, weights)
    low = high = np.uint32(np.uint32(count) * np.uint32(LENGTH_FACTOR))
    while k < end:
        unit = np.uint32(units[at + k])
        low = np.uint32(low + np.uint32(unit * np.uint32(weights[k])))
        high = np.uint32(high + np.uint32(unit * np.uint32(weights[k + np.uint64(MAX_UNITS)])))
        k += ONE
    return np.uint64(fmix32(low)) | np.uint64(fmix32(high)) << HALF
