"""Shingle sets of texts and what pairs of them share (see reference/shingles.py: distinct, intersections).

A row's set is a table of open addressing, with two slots a shingle: a block of threads hashes its shingles
and puts each in by a compare-and-swap. Which slot a hash gets depends on the order of threads, what is in it
does not. A block then goes through the smaller table of a pair and looks its hashes up in the other one.

Memory: for each byte of text 4 of units (8 for words), and 16 a shingle. Bytes moved: those, once; and for
each pair 16 a shingle of the smaller set and a sector of 32 for each hash, at random. Expected: a tenth of
the device's copy bandwidth, as for any table; so 100 ns for a pair of texts of 1 kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda import shingles
from forge_gpu.kernels.cuda.device import Device, function, kernel, offsets_of, scalar
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.reference.shingles import CHARACTER_WEIGHTS, MAX_UNITS, U32, WORD_WEIGHTS, WORDS

BLOCK = 128
"""Threads of a row, and of a pair."""

EMPTY, ONE, HALF = np.uint64(0), np.uint64(1), np.uint64(32)
"""EMPTY: a slot without a hash. The last slot of a table says whether a shingle has this hash."""


@function
def _slot(value, room):
    """Where a hash would be, of so many slots: its upper half, spread over them."""
    return np.int64((value >> HALF) * np.uint64(room) >> HALF)


@function
def _put(slots, first, room, value):
    """1 where a hash was not yet in the table of `room` slots from `first` on, else 0."""
    if value == EMPTY:
        return np.int64(1 if cuda.atomic.cas(slots, first + room, EMPTY, ONE) == EMPTY else 0)
    at = _slot(value, room)
    while True:
        there = slots[first + at]  # as it was before, or EMPTY: what is in a slot stays
        if there == EMPTY:
            there = cuda.atomic.cas(slots, first + at, EMPTY, value)
            if there == EMPTY:
                return np.int64(1)
        if there == value:
            return np.int64(0)
        at += 1
        if at == room:
            at = np.int64(0)


@kernel
def fill(units, places, counts, kind, n, weights, first, slots, sizes):
    """slots[first[r] ... first[r + 1] - 1] = the set of row r, a block a row; sizes[r] = its hashes.

    units: uint32[...] or uint64[...]; row r has counts[r] from places[r] on. n: units of a shingle. weights:
    see shingles.hash_of. slots: uint64[...], EMPTY at first; sizes: int64[rows], 0 at first.
    """
    r = np.int64(cuda.blockIdx.x)
    size = min(np.int64(n), counts[r])
    number = counts[r] - size + 1 if size > 0 else np.int64(0)
    room = first[r + 1] - first[r] - 1
    new = np.int64(0)
    for k in range(np.int64(cuda.threadIdx.x), number, BLOCK):
        new += _put(slots, first[r], room, shingles.hash_of(units, places[r] + k, size, kind, weights))
    cuda.atomic.add(sizes, r, new)


@function
def _has(slots, first, room, value):
    at = _slot(value, room)
    while True:
        there = slots[first + at]
        if there == value or there == EMPTY:
            return there == value
        at += 1
        if at == room:
            at = np.int64(0)


@kernel
def meet(slots, first, pairs, shared):
    """shared[p] = how many hashes the tables of rows pairs[p, 0] and pairs[p, 1] both have, a block a pair.

    pairs: int64[m, 2]; shared: int64[m], 0 at first.
    """
    p = np.int64(cuda.blockIdx.x)
    a, b = pairs[p, 0], pairs[p, 1]
    if first[a + 1] - first[a] > first[b + 1] - first[b]:
        a, b = b, a
    room, other_room = first[a + 1] - first[a] - 1, first[b + 1] - first[b] - 1
    found = np.int64(0)
    for k in range(np.int64(cuda.threadIdx.x), room, BLOCK):
        value = slots[first[a] + k]
        if value != EMPTY and _has(slots, first[b], other_room, value):
            found += 1
    if cuda.threadIdx.x == 0 and slots[first[a] + room] != EMPTY and slots[first[b] + other_room] != EMPTY:
        found += 1
    cuda.atomic.add(shared, p, found)


def shared_shingles(
    texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32, device: Device
) -> tuple[Any, Any]:
    """(how many shingles both rows of a pair share, how many they have, one by one): int64[m] each, on the
    device. Rows are counted through all texts, whose bytes may be on the host or the device and whose offsets
    are on the host; pairs: int64[m, 2]."""
    xp = device.xp
    sizes = [int(text.offsets[-1] - text.offsets[0]) for text in texts]
    rows = [len(text) for text in texts]
    units = xp.empty(sum(sizes) + 1, np.uint64 if kind == WORDS else np.uint32)
    counts, table = xp.zeros(sum(rows), np.int64), device.upload(fold)
    places, row, at = [], 0, 0
    for text, size, number in zip(texts, sizes, rows, strict=True):
        memory, _, bases = device.window([text.data])
        offsets = device.upload(text.offsets)
        of_text = units[at : at + size + 1], counts[row : row + number]
        device.launch(shingles.units, number, memory, bases[0], offsets, kind, table, *of_text)
        places.append(text.offsets[:-1] - text.offsets[0] + at)
        row, at = row + number, at + size
    number = xp.where(counts > 0, xp.maximum(counts - n, 0) + 1, 0)
    first = offsets_of(device, 2 * number + 1)
    slots = xp.zeros(scalar(device, first, -1), np.uint64)
    distinct = xp.zeros(sum(rows), np.int64)
    starts, weights = device.upload(np.concatenate(places).astype(np.int64)), device.upload(_weights(kind))
    of_rows = units, starts, counts, kind, n, weights
    device.launch(fill, BLOCK * sum(rows), *of_rows, first, slots, distinct, block=BLOCK)
    there = device.upload(pairs)
    shared = xp.zeros(len(pairs), np.int64)
    device.launch(meet, BLOCK * len(pairs), slots, first, there, shared, block=BLOCK)
    return shared, distinct[there[:, 0]] + distinct[there[:, 1]]


def _weights(kind: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """As shingles.hash_of takes them."""
    if kind == WORDS:
        return np.concatenate((WORD_WEIGHTS, np.zeros(MAX_UNITS, np.uint64)))
    return CHARACTER_WEIGHTS.astype(np.uint64).ravel()
