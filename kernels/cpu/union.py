"""Buckets and components: see kernels.reference.union.

One band's buckets are found with one sort of 64-bit words, a hash's upper bits above the row's place:
numpy's vectorised sort of plain words is five times as fast as sorting an order, and leaves the rows of a
bucket ascending.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.kernels.reference.union import LINKS, SMALL_BUCKET


def bucket_pairs(hashes: U64, rows: I64) -> I64:
    """See kernels.reference.union.bucket_pairs. Memory: 8 bytes a row, and 16 a pair."""
    bits = max(len(hashes) - 1, 1).bit_length()
    places = np.uint64((1 << bits) - 1)
    packed = hashes & ~places
    packed |= np.arange(len(hashes), dtype=np.uint64)
    packed.sort()
    pairs: I64 = _pairs(packed, np.uint64(bits), hashes, rows)
    return pairs


@kernel
def _pairs(packed, bits, hashes, rows):
    """Count, then write, the pairs of each run of words with equal upper bits."""
    n = len(packed)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    pairs = np.empty((0, 2), np.int64)
    for writing in range(2):
        total, start = 0, 0
        while start < n:
            end = start + 1
            while end < n and packed[end] >> bits == packed[start] >> bits:
                end += 1
            if end - start > 1:
                if writing == 0:
                    _part_by_hash(packed, start, end, mask, hashes)
                total = _run_pairs(packed, start, end, mask, hashes, rows, pairs, total, writing == 1)
            start = end
        if writing == 0:
            pairs = np.empty((total, 2), np.int64)
    return pairs


@inner
def _part_by_hash(packed, start, end, mask, hashes):
    """Bring equal whole hashes together where a run has several; stable, so places stay ascending."""
    first = hashes[np.int64(packed[start] & mask)]
    same = True
    for i in range(start + 1, end):
        same &= hashes[np.int64(packed[i] & mask)] == first
    if not same:
        run = packed[start:end].copy()
        whole = np.empty(end - start, np.uint64)
        for i in range(end - start):
            whole[i] = hashes[np.int64(run[i] & mask)]
        packed[start:end] = run[np.argsort(whole, kind="mergesort")]


@inner
def _run_pairs(packed, start, end, mask, hashes, rows, pairs, total, writing):
    """The pairs of a run's buckets, written from `total` on; the new total."""
    first = start
    while first < end:
        value = hashes[np.int64(packed[first] & mask)]
        last = first + 1
        while last < end and hashes[np.int64(packed[last] & mask)] == value:
            last += 1
        small = last - first <= SMALL_BUCKET
        for i in range(first + 1, last):
            links = i if small else min(first + LINKS, i)
            for k in range(first, links):
                if writing:
                    pairs[total, 0] = rows[np.int64(packed[k] & mask)]
                    pairs[total, 1] = rows[np.int64(packed[i] & mask)]
                total += 1
            if links < i:
                if writing:
                    pairs[total, 0] = rows[np.int64(packed[i - 1] & mask)]
                    pairs[total, 1] = rows[np.int64(packed[i] & mask)]
                total += 1
        first = last
    return total


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
