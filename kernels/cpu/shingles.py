"""Shingles of a text, tile by tile: see kernels.reference.shingles for what they are.

A row is worked through in tiles of TILE shingles whose hashes stay in the first-level cache, so a row of
any length needs the same few kilobytes. Reads a text once; the vector code hashes 16 shingles at a time.
Scratch arrays have room for the 16 lanes and MAX_UNITS units that a last, partly used step reads or writes.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from forge_gpu.kernels.compiled import CHECKED, inner, kernel
from forge_gpu.kernels.cpu.memory import BLOCK, buffer_of, byte, mask_not_ascii, trailing_zeros
from forge_gpu.kernels.reference.shingles import (
    CHARACTER_WEIGHTS,
    LENGTH_WEIGHT,
    MAX_UNITS,
    SPACE,
    WORD_BASE,
    WORD_WEIGHTS,
    WORDS,
)

TILE = 1024
LANES = 16
_ROOM = TILE + BLOCK + LANES + MAX_UNITS
I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(I32, LANES)

_LOW_WEIGHTS, _HIGH_WEIGHTS = CHARACTER_WEIGHTS
_LENGTH32, _LENGTH64 = np.uint32(LENGTH_WEIGHT & 0xFFFFFFFF), np.uint64(LENGTH_WEIGHT)
_BASE = np.uint64(WORD_BASE)
_SPACE = np.int64(SPACE)

# Fields of a row's state.
_AT, _UNITS, _WAITING, _STARTED, _GIVEN = range(5)


def vector_pointer(builder, base, index, kind):
    """Element `index` of 32 bits at address `base`, as a pointer to `kind`."""
    at = builder.add(base, builder.shl(index, ir.Constant(I64, 2)))
    return builder.inttoptr(at, kind.as_pointer())


def broadcast(builder, value):
    """A 32-bit value in all lanes."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def _constant(value):
    return ir.Constant(VECTOR, [value] * LANES)


def _fmix32(builder, h):
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = builder.mul(builder.xor(h, builder.lshr(h, _constant(shift))), _constant(factor))
    return builder.xor(h, builder.lshr(h, _constant(16)))


@intrinsic
def _hash_characters(typing_context, points, count, n, weights, start, out):
    """out[i] = fmix32(start + sum of points[i+j]·weights[j] for j < n) for i < count, rounded up to LANES.

    Arguments but count, n and start are addresses of uint32 arrays; reads points[: count + LANES + n].
    """

    def generate(context, builder, signature, arguments):
        points, count, n, weights, start, out = arguments
        total = cgutils.alloca_once(builder, VECTOR)
        with cgutils.for_range_slice(builder, ir.Constant(I64, 0), count, ir.Constant(I64, LANES), I64) as (
            i,
            _,
        ):
            builder.store(broadcast(builder, start), total)
            with cgutils.for_range(builder, n) as loop:
                weight = builder.load(vector_pointer(builder, weights, loop.index, I32))
                at = vector_pointer(builder, points, builder.add(i, loop.index), VECTOR)
                product = builder.mul(builder.load(at, align=4), broadcast(builder, weight))
                builder.store(builder.add(builder.load(total), product), total)
            hashed = _fmix32(builder, builder.load(total))
            builder.store(hashed, vector_pointer(builder, out, i, VECTOR), align=4)
        return context.get_dummy_value()

    arguments = (types.uint64, types.int64, types.int64, types.uint64, types.uint32, types.uint64)
    return types.void(*arguments), generate


@intrinsic
def _widen_block(typing_context, base, index, points, at):
    """points[at : at + BLOCK] = the BLOCK bytes at `index` of the buffer at `base`."""

    def generate(context, builder, signature, arguments):
        base, index, points, at = arguments
        for step in range(0, BLOCK, LANES):
            offset = ir.Constant(I64, step)
            source = builder.add(builder.add(base, index), offset)
            narrow = builder.load(builder.inttoptr(source, ir.VectorType(I8, LANES).as_pointer()), align=1)
            target = vector_pointer(builder, points, builder.add(at, offset), VECTOR)
            builder.store(builder.zext(narrow, VECTOR), target, align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.uint64, types.int64), generate


@inner
def new_scratch():
    """(state, points, keys, low, high): what `next_tile` works in; `low` and `high` are its results."""
    return (
        np.zeros(8, np.int64),
        np.zeros(_ROOM, np.uint32),
        np.zeros(_ROOM + 1, np.uint64),
        np.zeros(_ROOM, np.uint32),
        np.zeros(_ROOM, np.uint32),
    )


@inner
def begin(scratch, start):
    """Go to the row whose text starts at byte `start`."""
    scratch[0][:] = 0
    scratch[0][_AT] = start
    scratch[2][_ROOM] = 0


@inner
def next_tile(buffer, end, kind, n, fold, high, scratch):
    """Hash the next shingles of the row that ends at byte `end`: how many there are, 0 after the last.

    scratch's `low` holds the low halves of their hashes, and, if `high`, `high` the others.
    """
    state, points, keys, low, up = scratch
    while True:
        if kind == WORDS:
            _more_words(buffer, end, fold, scratch)
        else:
            state[_UNITS] = _more_points(buffer, end, fold, state, points, state[_UNITS])
        units = state[_UNITS]
        length = n
        if units < n and state[_AT] == end and state[_GIVEN] == 0:
            length = units
        count = units - length + 1
        if length > 0 and count > 0:
            if kind == WORDS:
                _hash_words(keys, count, length, low, up)
            else:
                _hash_points(points, count, length, high, low, up)
            kept = length - 1
            for i in range(kept):
                if kind == WORDS:
                    keys[i] = keys[count + i]
                else:
                    points[i] = points[count + i]
            state[_UNITS] = kept
            state[_GIVEN] += count
            return count
        if state[_AT] == end:
            return 0


@inner
def _hash_points(points, count, length, high, low, up):
    at, start = buffer_of(points)[0], np.uint32(np.uint32(length) * _LENGTH32)
    _hash_characters(at, count, length, buffer_of(_LOW_WEIGHTS)[0], start, buffer_of(low)[0])
    if high:
        _hash_characters(at, count, length, buffer_of(_HIGH_WEIGHTS)[0], start, buffer_of(up)[0])


@inner
def _hash_words(keys, count, length, low, up):
    for i in range(count):
        h = np.uint64(length) * _LENGTH64
        for j in range(length):
            h += keys[i + j] * WORD_WEIGHTS[j]
        h = fmix64(h)
        low[i] = np.uint32(h & np.uint64(0xFFFFFFFF))
        up[i] = np.uint32(h >> np.uint64(32))


@inner
def fmix64(h):
    """MurmurHash3's 64-bit finaliser."""
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@inner
def _more_words(buffer, end, fold, scratch):
    """Append the keys of the words of the next points; the last word of a tile may go on in the next."""
    state, points, keys, _, _ = scratch
    count = _more_points(buffer, end, fold, state, points, 0)
    units, key = state[_UNITS], keys[_ROOM]
    for i in range(count):
        point = points[i]
        if point != 0x20:
            key = (key + np.uint64(point) + np.uint64(1)) * _BASE
        elif key != 0:
            keys[units] = key
            units += 1
            key = np.uint64(0)
    if state[_AT] == end and key != 0:
        keys[units] = key
        units += 1
        key = np.uint64(0)
    state[_UNITS], keys[_ROOM] = units, key


@inner
def _more_points(buffer, end, fold, state, points, count):
    """Append normalised code points to the `count` there are, up to about TILE; the new count."""
    i = state[_AT]
    while i < end and count < TILE:
        point = byte(buffer, i)
        if len(fold) == 0 and point < 0x80 and i + BLOCK <= end:
            _widen_block(buffer[0], i, buffer_of(points)[0], count)
            ascii = trailing_zeros(mask_not_ascii(buffer, i))
            i += ascii
            count += ascii
            continue
        width = 1
        if point >= 0xC0:
            width = 2 if point < 0xE0 else 3 if point < 0xF0 else 4
            if i + width > end:
                width = 1
            else:
                point &= 0x7F >> width
                for k in range(1, width):
                    point = point << 6 | byte(buffer, i + k) & 0x3F
        i += width
        if point < len(fold):
            point = np.int64(fold[point])
            if point == _SPACE:
                state[_WAITING] = state[_STARTED]
                continue
        if state[_WAITING] != 0:
            points[count] = 0x20
            count += 1
            state[_WAITING] = 0
        points[count] = point
        count += 1
        state[_STARTED] = 1
    state[_AT] = i
    return count


@inner
def _table_size(count):
    size = 64
    while size < 2 * count:
        size *= 2
    return size


@inner
def _slot(table, value):
    """Where a value is in an open-addressing table, or the free slot where it belongs."""
    mask = len(table) - 1
    slot = np.int64(value) & mask
    while table[slot] != 0 and table[slot] != value:
        slot = (slot + 1) & mask
    return slot


@kernel
def distinct(data, offsets, kind, n, fold):
    """See kernels.reference.shingles.distinct. Memory: 8 bytes a byte of text for the result's room, and up
    to 32 a byte of the longest row for its table."""
    buffer = buffer_of(data)
    rows = len(offsets) - 1
    ends = np.zeros(rows + 1, np.int64)
    values = np.empty(offsets[rows] - offsets[0] + 1, np.uint64)
    longest = 0
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    room = np.empty(_table_size(longest), np.uint64)
    scratch = new_scratch()
    _, _, _, low, up = scratch
    total = 0
    for row in range(rows):
        begin(scratch, offsets[row])
        table = room[: _table_size(offsets[row + 1] - offsets[row])]
        table[:] = 0
        zero_seen = False
        while True:
            count = next_tile(buffer, offsets[row + 1], kind, n, fold, True, scratch)
            if count == 0:
                break
            for i in range(count):
                value = np.uint64(low[i]) | np.uint64(up[i]) << np.uint64(32)
                slot = _slot(table, value)
                if table[slot] == value and (value != 0 or zero_seen):
                    continue
                zero_seen |= value == 0
                table[slot] = value
                values[total] = value
                total += 1
        ends[row + 1] = total
    return values[:total], ends


@kernel
def intersections(values, offsets, other_values, other_offsets, pairs):
    """See kernels.reference.shingles.intersections. The table of a pair's first set is kept while the next
    pairs start with it, so pairs are best sorted. Memory: up to 32 bytes a shingle of the largest set."""
    found = np.zeros(len(pairs), np.int64)
    largest = 0
    for row in range(len(offsets) - 1):
        largest = max(largest, offsets[row + 1] - offsets[row])
    room = np.empty(_table_size(largest), np.uint64)
    table, loaded, has_zero = room[:0], np.int64(-1), False
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        if CHECKED and (a < 0 or b < 0 or a >= len(offsets) - 1 or b >= len(other_offsets) - 1):
            raise IndexError("a pair names no set")
        if a != loaded:
            table = room[: _table_size(offsets[a + 1] - offsets[a])]
            has_zero = _fill(table, values, offsets[a], offsets[a + 1])
            loaded = a
        shared = 0
        for i in range(other_offsets[b], other_offsets[b + 1]):
            value = other_values[i]
            shared += np.int64(table[_slot(table, value)] == value and (value != 0 or has_zero))
        found[p] = shared
    return found


@inner
def _fill(table, values, start, end):
    """Empty a table and put values into it. 0 marks a free slot: whether there was one is returned."""
    table[:] = 0
    has_zero = False
    for i in range(start, end):
        table[_slot(table, values[i])] = values[i]
        has_zero |= values[i] == 0
    return has_zero


@kernel
def first_found(data, offsets, kind, n, fold, index):
    """See kernels.reference.shingles.first_found: about one value of the index is read for each shingle."""
    values, owners, starts, bits = index
    buffer, scratch, shift = buffer_of(data), new_scratch(), np.uint64(64 - bits)
    _, _, _, low, up = scratch
    found = np.full(len(offsets) - 1, -1, np.int64)
    for row in range(len(found)):
        begin(scratch, offsets[row])
        while found[row] < 0:
            count = next_tile(buffer, offsets[row + 1], kind, n, fold, True, scratch)
            if count == 0:
                break
            for i in range(count):
                value = np.uint64(low[i]) | np.uint64(up[i]) << np.uint64(32)
                at = np.int64(value >> shift)
                for k in range(starts[at], starts[at + 1]):
                    if values[k] == value:
                        found[row] = owners[k]
                if found[row] >= 0:
                    break
    return found
