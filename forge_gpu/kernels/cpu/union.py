"""Buckets and components: see kernels.reference.union.

Most rows are alone in their bucket. Bitmaps of the hashes of a whole band find out those that may not be,
and they alone are sorted, as 64-bit words, a hash's upper bits above the row's place: numpy's vectorised sort
of plain words is five times as fast as sorting an order, and leaves the rows of a bucket ascending.
"""

from collections.abc import Iterator

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import (
    byte,
    half,
    item64,
    prefetch,
    put_half,
    put_item64,
    put_word,
    whole,
    word,
)
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.kernels.reference.union import LINKS, SMALL_BUCKET, U32

AHEAD = 16
"""Rows between asking for a mark's cache line and using it."""

_ONE, _SIX, _LOW = np.uint64(1), np.uint64(6), np.uint64(63)


def mark(hashes: U64, live: U8, marks: U64) -> int:
    """See kernels.reference.union.mark. Bytes moved: 9 a row, and a cache line of marks."""
    hashes, live = np.ascontiguousarray(hashes, np.uint64), np.ascontiguousarray(live, np.uint8)
    return int(_mark(whole(hashes), whole(live), _shift(marks), whole(marks)))


def gather(hashes: U64, live: U8, first: int, marks: U64) -> tuple[U64, U32]:
    """See kernels.reference.union.gather. Memory: 12 bytes a row of the piece. Bytes moved: 9 a row, a cache
    line of marks, and 24 of a row that is given."""
    hashes, live = np.ascontiguousarray(hashes, np.uint64), np.ascontiguousarray(live, np.uint8)
    taken, rows = np.empty(len(hashes), np.uint64), np.empty(len(hashes), np.uint32)
    piece = whole(hashes), whole(live), first
    count = _gather(*piece, _shift(marks), whole(marks), whole(taken), whole(rows))
    return taken[:count].copy(), rows[:count].copy()


def _shift(marks: U64) -> np.uint64:
    """64 - bits of the number of a mark: what is left of a hash that is shifted so far."""
    return np.uint64(65 - (len(marks) * 64).bit_length())


@inner
def _number(hashes, row, shift):
    """The number of the mark of a row's hash."""
    return word(hashes, 8 * row) >> shift


@inner
def _ask_for_mark(hashes, rows, row, shift, marks):
    if row < rows:
        prefetch(marks[0], np.int64(_number(hashes, row, shift) >> _SIX) * 16)


@kernel
def _mark(hashes, live, shift, marks):
    rows, result = live[1], 0
    for row in range(rows):
        _ask_for_mark(hashes, rows, row + AHEAD, shift, marks)
        if byte(live, row) != 0:
            number = _number(hashes, row, shift)
            at, bit = np.int64(number >> _SIX) * 16, _ONE << (number & _LOW)
            came = word(marks, at)
            put_word(marks, at, came | bit)
            put_word(marks, at + 8, word(marks, at + 8) | came & bit)
            result += np.int64(came & bit != 0)
    return result


@kernel
def _gather(hashes, live, first, shift, marks, taken, rows):
    count, end = 0, live[1]
    for row in range(end):
        _ask_for_mark(hashes, end, row + AHEAD, shift, marks)
        if byte(live, row) != 0:
            number = _number(hashes, row, shift)
            if word(marks, np.int64(number >> _SIX) * 16 + 8) >> (number & _LOW) & _ONE != 0:
                put_word(taken, 8 * count, word(hashes, 8 * row))
                put_half(rows, 4 * count, np.uint64(first + row))
                count += 1
    return count


def bucket_pairs(hashes: U64, rows: U32, most: int) -> Iterator[U64]:
    """See kernels.reference.union.bucket_pairs, in pieces of up to `most` pairs and those of one more row.
    Memory: 8 bytes a row, and 8 a pair of a piece."""
    hashes, rows = np.ascontiguousarray(hashes, np.uint64), np.ascontiguousarray(rows, np.uint32)
    bits = np.uint64(max(len(hashes) - 1, 1).bit_length())
    packed = np.empty(len(hashes), np.uint64)
    _pack(whole(hashes), bits, whole(packed))
    packed.sort()
    _part_runs(packed, bits, hashes)
    bucket = np.zeros(3, np.int64)
    while bucket[0] < len(packed):
        pairs = np.empty(most + SMALL_BUCKET, np.uint64)
        count = _pairs(whole(packed), bits, whole(hashes), whole(rows), whole(bucket), whole(pairs))
        if count:
            yield pairs[:count]


@kernel
def _pack(hashes, bits, packed):
    """A packed word is a hash whose lowest `bits` bits are its place."""
    places = (_ONE << bits) - _ONE
    for i in range(packed[1] >> 3):
        put_word(packed, 8 * i, word(hashes, 8 * i) & ~places | np.uint64(i))


def _part_runs(packed: U64, bits: np.uint64, hashes: U64) -> None:
    """Bring equal whole hashes together where words with equal upper bits have several; stable, so that
    places stay ascending."""
    mask = (_ONE << bits) - _ONE
    start, end = _next_mixed(whole(packed), bits, whole(hashes), 0)
    while start < end:
        run = packed[start:end]
        packed[start:end] = run[np.argsort(hashes[(run & mask).astype(np.int64)], kind="stable")]
        start, end = _next_mixed(whole(packed), bits, whole(hashes), end)


@kernel
def _next_mixed(packed, bits, hashes, start):
    """The next words from `start` on that have equal upper bits and not all the same hash: where they begin
    and end; twice the end of all where there are none."""
    n = packed[1] >> 3
    while start < n:
        upper, value = word(packed, 8 * start) >> bits, word(hashes, 8 * _place(packed, bits, start))
        end, is_mixed = start + 1, False
        while end < n and word(packed, 8 * end) >> bits == upper:
            is_mixed = is_mixed or word(hashes, 8 * _place(packed, bits, end)) != value
            end += 1
        if is_mixed:
            return start, end
        start = end
    return n, n


@inner
def _place(packed, bits, i):
    return np.int64(word(packed, 8 * i) & (_ONE << bits) - _ONE)


@inner
def _end_of_bucket(packed, bits, hashes, start):
    n, end = packed[1] >> 3, start + 1
    upper = word(packed, 8 * start) >> bits
    if end < n and word(packed, 8 * end) >> bits == upper:
        value = word(hashes, 8 * _place(packed, bits, start))
        while end < n and word(hashes, 8 * _place(packed, bits, end)) == value:
            end += 1
    return end


@kernel
def _pairs(packed, bits, hashes, rows, bucket, pairs):
    """Write the next pairs, as long as there is room for those of another row; how many.

    bucket: where the bucket at hand begins and ends in `packed`, and its row whose pairs come next.
    """
    start, end, i = item64(bucket, 0), item64(bucket, 1), item64(bucket, 2)
    n, room, count = packed[1] >> 3, pairs[1] >> 3, 0
    while count + SMALL_BUCKET <= room:
        if i == end:
            start = end
            if start == n:
                break
            end, i = _end_of_bucket(packed, bits, hashes, start), start + 1
            continue
        row = half(rows, 4 * _place(packed, bits, i)) << np.uint64(32)
        links = i - start if end - start <= SMALL_BUCKET else min(LINKS, i - start)
        for k in range(start, start + links):
            put_word(pairs, 8 * count, row | half(rows, 4 * _place(packed, bits, k)))
            count += 1
        if start + links < i:  # the row before, where it is not among the links
            put_word(pairs, 8 * count, row | half(rows, 4 * _place(packed, bits, i - 1)))
            count += 1
        i += 1
    for k, value in enumerate((start, end, i)):
        put_item64(bucket, k, value)
    return count


def without_repeats(words: U64) -> int:
    """See kernels.reference.union.without_repeats. Bytes moved: up to 16 a word."""
    return int(_without_repeats(whole(words)))


@kernel
def _without_repeats(words):
    n = words[1] >> 3
    count = min(n, 1)
    for i in range(1, n):
        value = word(words, 8 * i)
        if value != word(words, 8 * (count - 1)):
            put_word(words, 8 * count, value)
            count += 1
    return count


@inner
def _root(parent, row):
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


@kernel
def unite(parent, pairs):
    """See kernels.reference.union.unite; with path halving."""
    for p in range(len(pairs)):
        a, b = _root(parent, pairs[p, 0]), _root(parent, pairs[p, 1])
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@kernel
def flatten(parent):
    """See kernels.reference.union.flatten: a parent is never larger than its child, so one step is enough."""
    for row in range(len(parent)):
        parent[row] = parent[parent[row]]


@kernel
def keep_nearest(pairs, similarity, partner, nearest):
    """See kernels.reference.union.keep_nearest."""
    for p in range(len(pairs)):
        for side in range(2):
            row, other = pairs[p, side], pairs[p, 1 - side]
            is_nearer = similarity[p] > nearest[row]
            if is_nearer or (similarity[p] == nearest[row] and other < partner[row]):
                nearest[row], partner[row] = similarity[p], other
