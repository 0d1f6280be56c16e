"""Lines, paragraphs and runs of words that repeat, by hashes of 64 bits. See reference/repeats.py."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import byte, item64, whole
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference.repeats import MOST_WORDS, REPEATED, TOP, Repeats
from forge_gpu.kernels.scratch import Scratch

FIRST_TOP, LAST_TOP = TOP[0], TOP[-1]
FIRST_AGAIN, LAST_AGAIN = REPEATED[0], REPEATED[-1]
SLOTS = 4 * MOST_WORDS
PRIME = np.uint64(0x100000001B3)
MIX = np.uint64(0x9E3779B97F4A7C15)
SEED = np.uint64(0xCBF29CE484222325)


@inner
def _is_space(c):
    return c == 0x20 or (c >= 0x09 and c <= 0x0D)


@inner
def _mixed(h):
    h ^= h >> np.uint64(32)
    h *= MIX
    return h ^ h >> np.uint64(29)


@inner
def _slot(keys, stamps, key, mask, stamp):
    """Where a key is, or goes."""
    at = np.int64(key >> np.uint64(20)) & mask
    while stamps[at] == stamp and keys[at] != key:
        at = (at + 1) & mask
    return at


@inner
def _mask(items):
    size = 64
    while size < 4 * items and size < SLOTS:
        size *= 2
    return size - 1


@inner
def _trimmed_hash(data, start, end):
    """(hash, size) of a text without the white space around it."""
    while start < end and _is_space(byte(data, start)):
        start += 1
    while start < end and _is_space(byte(data, end - 1)):
        end -= 1
    h = SEED
    for i in range(start, end):
        h = (h ^ np.uint64(byte(data, i))) * PRIME
    return _mixed(h), end - start


@inner
def _piece_end(data, start, end, empty_lines):
    """Where the line or the paragraph at `start` ends."""
    i = start
    while i < end:
        if byte(data, i) == 0x0A and (not empty_lines or (i + 1 < end and byte(data, i + 1) == 0x0A)):
            break
        i += 1
    return i


@inner
def _pieces(data, start, end, empty_lines, keys, stamps, stamp):
    """(pieces, those like an earlier one, their bytes)."""
    pieces = again = again_bytes = 0
    line_ends = 0
    for i in range(start, end):
        line_ends += byte(data, i) == 0x0A
    mask = _mask(line_ends + 1)
    while start < end and pieces < MOST_WORDS:
        stop = _piece_end(data, start, end, empty_lines)
        h, size = _trimmed_hash(data, start, stop)
        if size > 0:
            at = _slot(keys, stamps, h, mask, stamp)
            if stamps[at] == stamp:
                again += 1
                again_bytes += size
            else:
                stamps[at] = stamp
                keys[at] = h
            pieces += 1
        start = stop + 1
    return pieces, again, again_bytes


@inner
def _words(data, start, end, prefix, ends):
    """The hashes of the first words, as those of all words before (prefix), and their bytes (ends)."""
    count, i = 0, start
    prefix[0], ends[0] = np.uint64(0), 0
    while i < end and count < MOST_WORDS:
        if _is_space(byte(data, i)):
            i += 1
            continue
        begin, h = i, SEED
        while i < end and not _is_space(byte(data, i)):
            h = (h ^ np.uint64(byte(data, i))) * PRIME
            i += 1
        prefix[count + 1] = prefix[count] * MIX + _mixed(h)
        ends[count + 1] = ends[count] + i - begin
        count += 1
    return count


@inner
def _power(n):
    power = np.uint64(1)
    for _ in range(n):
        power *= MIX
    return power


@inner
def _top(prefix, ends, count, n, keys, stamps, first, times, stamp):
    mask, power, best, at_best = _mask(count), _power(n), 1, 0
    for i in range(count - n + 1):
        h = _mixed(prefix[i + n] - prefix[i] * power)
        at = _slot(keys, stamps, h, mask, stamp)
        if stamps[at] != stamp:
            stamps[at], keys[at], first[at], times[at] = stamp, h, i, 0
        times[at] += 1
        if times[at] > best or (times[at] == best and best > 1 and first[at] < at_best):
            best, at_best = times[at], first[at]
    return best * (ends[at_best + n] - ends[at_best]) if best > 1 else 0


@inner
def _again(prefix, ends, count, n, keys, stamps, stamp):
    mask, power, again, i = _mask(count), _power(n), 0, 0
    while i < count - n + 1:
        h = _mixed(prefix[i + n] - prefix[i] * power)
        at = _slot(keys, stamps, h, mask, stamp)
        if stamps[at] == stamp:
            again += ends[i + n] - ends[i]
            i += n
        else:
            stamps[at] = stamp
            keys[at] = h
            i += 1
    return again


@kernel
def _repeats(data, offsets, counts, top, repeated, prefix, ends, keys, stamps, first, times, stamp):
    """counts: int64[7, n]. stamp: above all in `stamps`. Returns the first row outside the data, or -1."""
    for r in range(counts.shape[1]):
        start, end = item64(offsets, r), item64(offsets, r + 1)
        if start < 0 or end < start or end > data[1]:
            return r
        counts[0, r] = end - start
        counts[1, r], counts[2, r], counts[3, r] = _pieces(data, start, end, False, keys, stamps, stamp)
        counts[4, r], counts[5, r], counts[6, r] = _pieces(data, start, end, True, keys, stamps, stamp + 1)
        stamp += 2
        count = _words(data, start, end, prefix, ends)
        for n in range(FIRST_TOP, LAST_TOP + 1):
            top[n - FIRST_TOP, r] = _top(prefix, ends, count, n, keys, stamps, first, times, stamp)
            stamp += 1
        for n in range(FIRST_AGAIN, LAST_AGAIN + 1):
            repeated[n - FIRST_AGAIN, r] = _again(prefix, ends, count, n, keys, stamps, stamp)
            stamp += 1
    return -1


def repeats_of(text: Text, scratch: Scratch) -> Repeats:
    """See reference/repeats.py. Bytes moved: the text read three times, 128 written a row; a look into a
    table that stays in the cache for each of nine runs a word begins.

    Raises ValueError where a row lies outside the data.
    """
    n = len(text)
    data, offsets = np.ascontiguousarray(text.data, np.uint8), np.ascontiguousarray(text.offsets, np.int64)
    counts, top = np.zeros((7, n), np.int64), np.zeros((len(TOP), n), np.int64)
    repeated = np.zeros((len(REPEATED), n), np.int64)
    prefix = scratch.array("repeats.prefix", MOST_WORDS + 1, np.uint64)
    ends = scratch.array("repeats.ends", MOST_WORDS + 1, np.int64)
    keys = scratch.array("repeats.keys", SLOTS, np.uint64)
    stamps = scratch.array("repeats.stamps", SLOTS, np.int64)
    stamps[:] = 0
    first, times = (scratch.array(f"repeats.{name}", SLOTS, np.int64) for name in ("first", "times"))
    tables = (prefix, ends, keys, stamps, first, times)
    bad = _repeats(whole(data), whole(offsets), counts, top, repeated, *tables, np.int64(1))
    if bad >= 0:
        raise ValueError(f"row {bad} of a text lies outside its data")
    return Repeats(*counts, top, repeated)
