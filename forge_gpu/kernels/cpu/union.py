"""Buckets and components: see kernels.reference.union.

Most rows are alone in their bucket: bitmaps find out those that may not be. One band's buckets are then found
with one sort of 64-bit words, a hash's upper bits above the row's place: numpy's vectorised sort of plain
words is five times as fast as sorting an order, and leaves the rows of a bucket ascending.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import item64, put_word, whole, word
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.kernels.reference.union import LINKS, SMALL_BUCKET

SPARSE = 3
"""The bitmaps have 2**SPARSE bits or more a row, so about one in 2**SPARSE rows is sorted without need."""

NO_PAIRS = np.empty((0, 2), np.int64)


def bucket_pairs(hashes: U64, rows: I64) -> I64:
    """See kernels.reference.union.bucket_pairs. Memory: 2 to 4 bytes a row, 8 more for those that may share a
    bucket, and 16 a pair."""
    hashes, rows = np.ascontiguousarray(hashes, np.uint64), np.ascontiguousarray(rows, np.int64)
    bits = max(len(hashes) - 1, 1).bit_length()
    seen, again = np.zeros((2, 1 << max(bits + SPARSE - 6, 0)), np.uint64)
    packed = np.empty(len(hashes), np.uint64)
    all_hashes = whole(hashes)
    packed = packed[: _meeting(all_hashes, bits, whole(seen), whole(again), whole(packed))]
    packed.sort()
    _part_runs(packed, np.uint64(bits), hashes)
    inputs = whole(packed), np.uint64(bits), all_hashes, whole(rows)
    pairs = np.empty((_pairs(*inputs, whole(NO_PAIRS)), 2), np.int64)
    _pairs(*inputs, whole(pairs))
    return pairs


@kernel
def _meeting(hashes, bits, seen, again, packed):
    """Pack the rows that share upper bits of their hash with another; how many there are.

    A packed word is a hash whose lowest `bits` bits are the row's place. seen, again: bitmaps of the upper
    bits + SPARSE bits of hashes, those that came and those that came again.
    """
    rows, count = hashes[1] >> 3, 0
    shift, low = np.uint64(64 - SPARSE - bits), np.uint64(63)
    for row in range(rows):
        upper = word(hashes, 8 * row) >> shift
        at, bit = np.int64(upper >> np.uint64(6)), np.uint64(1) << (upper & low)
        before = word(seen, 8 * at)
        put_word(seen, 8 * at, before | bit)
        put_word(again, 8 * at, word(again, 8 * at) | before & bit)
    places = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for row in range(rows):
        value = word(hashes, 8 * row)
        upper = value >> shift
        put_word(packed, 8 * count, value & ~places | np.uint64(row))
        count += np.int64(word(again, 8 * np.int64(upper >> np.uint64(6))) >> (upper & low) & np.uint64(1))
    return count


@kernel
def _part_runs(packed, bits, hashes):
    """Bring equal whole hashes together where words with equal upper bits have several; stable, so that
    places stay ascending."""
    mask = (np.uint64(1) << bits) - np.uint64(1)
    start = 0
    for end in range(1, len(packed) + 1):
        if end < len(packed) and packed[end] >> bits == packed[start] >> bits:
            continue
        for i in range(start + 1, end):
            if hashes[np.int64(packed[i] & mask)] != hashes[np.int64(packed[start] & mask)]:
                run = packed[start:end].copy()
                run_hashes = np.empty(end - start, np.uint64)
                for k in range(end - start):
                    run_hashes[k] = hashes[np.int64(run[k] & mask)]
                packed[start:end] = run[np.argsort(run_hashes, kind="mergesort")]
                break
        start = end


@kernel
def _pairs(packed, bits, hashes, rows, pairs):
    """Write the pairs of each bucket, where there is room for any; how many there are."""
    n, mask = packed[1] >> 3, (np.uint64(1) << bits) - np.uint64(1)
    total, start = 0, 0
    while start < n:
        first = word(packed, 8 * start)
        end = start + 1
        if end < n and word(packed, 8 * end) >> bits == first >> bits:
            value = word(hashes, 8 * np.int64(first & mask))
            while end < n and word(hashes, 8 * np.int64(word(packed, 8 * end) & mask)) == value:
                end += 1
        size = end - start
        if size > 1 and pairs[1] > 0:
            _write_pairs(packed, start, size, mask, rows, pairs, total)
        if size <= SMALL_BUCKET:
            total += size * (size - 1) // 2
        else:
            total += LINKS * (LINKS + 1) // 2 + (LINKS + 1) * (size - 1 - LINKS)
        start = end
    return total


@inner
def _write_pairs(packed, start, size, mask, rows, pairs, at):
    """The pairs of the bucket at packed[start : start + size], from pair `at` on."""
    for i in range(1, size):
        row = item64(rows, np.int64(word(packed, 8 * (start + i)) & mask))
        links = i if size <= SMALL_BUCKET else min(LINKS, i)
        for link in range(links + np.int64(links < i)):
            k = link if link < links else i - 1  # the row before, where it is not among the links
            other = item64(rows, np.int64(word(packed, 8 * (start + k)) & mask))
            put_word(pairs, 16 * at, np.uint64(other))
            put_word(pairs, 16 * at + 8, np.uint64(row))
            at += 1


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
