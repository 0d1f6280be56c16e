"""Shingles of a text, tile by tile: see kernels.reference.shingles for what they are.

A row is worked through in tiles of TILE shingles whose hashes stay in the first-level cache, so a row of
any length needs the same few kilobytes. Reads a text once; the vector code hashes STEP shingles at a time.
What a row is worked in is one buffer of SCRATCH bytes, with room for what a last, partly used step of points
or of hashes reads or writes; kernels hand it on as an address, as counting references to arrays would cost as
much as a short row.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import (
    buffer_of,
    check,
    half,
    item64,
    put_half,
    put_word,
    whole,
    word,
)
from forge_gpu.kernels.cpu.points import (
    AT,
    FIELDS,
    I32,
    I64,
    LANES,
    POINTS,
    ROOM,
    STARTED,
    VECTOR,
    constant,
    more_points,
    vector_pointer,
)
from forge_gpu.kernels.layout import I64 as Int64s
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.kernels.lowering import cgutils, intrinsic, ir, types
from forge_gpu.kernels.reference.shingles import (
    CHARACTER_WEIGHTS,
    LENGTH_WEIGHT,
    MAX_UNITS,
    U32,
    WORD_BASE,
    WORD_WEIGHTS,
    WORDS,
    Lookup,
)

TILE = 1024
STEP = 4 * LANES
"""Shingles that are hashed together."""

# The scratch buffer: the row's state and points, then the two halves of the hashes, then the keys of words.
_ITEMS = TILE + ROOM + STEP + MAX_UNITS
LOW = POINTS + 4 * _ITEMS
HIGH = LOW + 4 * _ITEMS
_KEYS = HIGH + 4 * _ITEMS
SCRATCH = _KEYS + 8 * _ITEMS

# Fields of a row's state beside those of its points: units at hand, shingles given, key of an unended word.
_UNITS, _GIVEN, _KEY = range(STARTED + 1, STARTED + 4)

_LOW_WEIGHTS, _HIGH_WEIGHTS = CHARACTER_WEIGHTS
_LENGTH32, _LENGTH64 = np.uint64(LENGTH_WEIGHT & 0xFFFFFFFF), np.uint64(LENGTH_WEIGHT)
_BASE, _BLANK, _ONE = np.uint64(WORD_BASE), np.uint64(0x20), np.uint64(1)


def broadcast(builder, value):
    """A 32-bit value in all lanes."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, constant(0))


def _fmix32(builder, h):
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = builder.mul(builder.xor(h, builder.lshr(h, constant(shift))), constant(factor))
    return builder.xor(h, builder.lshr(h, constant(16)))


@intrinsic
def _hash_characters(typing_context, points, count, n, weights, start, out):
    """out[i] = fmix32(start + sum of points[i+j]·weights[j] for j < n) for i < count, rounded up to STEP.

    Arguments but count, n and start are addresses of uint32 items; reads points[: count + STEP + n].
    """

    def generate(context, builder, signature, arguments):
        points, count, n, weights, start, out = arguments
        first = broadcast(builder, builder.trunc(start, I32))
        totals = [cgutils.alloca_once(builder, VECTOR) for _ in range(0, STEP, LANES)]

        def vector(base, index, number):
            return vector_pointer(builder, base, builder.add(index, ir.Constant(I64, number * LANES)), VECTOR)

        zero, step = ir.Constant(I64, 0), ir.Constant(I64, STEP)
        with cgutils.for_range_slice(builder, zero, count, step, I64) as (i, _):
            for total in totals:
                builder.store(first, total)
            with cgutils.for_range(builder, n) as loop:
                weight = broadcast(builder, builder.load(vector_pointer(builder, weights, loop.index, I32)))
                for k, total in enumerate(totals):
                    unit = builder.load(vector(points, builder.add(i, loop.index), k), align=4)
                    builder.store(builder.add(builder.load(total), builder.mul(unit, weight)), total)
            for k, total in enumerate(totals):
                builder.store(_fmix32(builder, builder.load(total)), vector(out, i, k), align=4)
        return context.get_dummy_value()

    arguments = (types.uint64, types.int64, types.int64, types.uint64, types.uint64, types.uint64)
    return types.void(*arguments), generate


def new_scratch() -> U8:
    """The buffer that `next_tile` works in."""
    return np.zeros(SCRATCH, np.uint8)


@inner
def begin(scratch, start):
    """Go to the row whose text starts at byte `start`."""
    for field in range(FIELDS):
        put_word(scratch, 8 * field, np.uint64(0))
    put_word(scratch, 8 * AT, np.uint64(start))


@inner
def next_tile(buffer, end, kind, n, fold, high, scratch):
    """Hash the next shingles of the row that ends at byte `end`: how many there are, 0 after the last.

    From LOW on scratch holds the low halves of their hashes, and, if `high`, from HIGH on the others.
    """
    while True:
        units = item64(scratch, _UNITS)
        if kind == WORDS:
            units = _more_words(buffer, end, fold, scratch, units)
        else:
            units = more_points(buffer, end, fold, scratch, units, TILE)
        ended, given = item64(scratch, AT) == end, item64(scratch, _GIVEN)
        length = units if units < n and ended and given == 0 else n
        count = units - length + 1
        if length > 0 and count > 0:
            if kind == WORDS:
                _hash_words(scratch, count, length)
            else:
                _hash_points(scratch, count, length, high)
            for i in range(length - 1):
                if kind == WORDS:
                    put_word(scratch, _KEYS + 8 * i, word(scratch, _KEYS + 8 * (count + i)))
                else:
                    put_half(scratch, POINTS + 4 * i, half(scratch, POINTS + 4 * (count + i)))
            put_word(scratch, 8 * _UNITS, np.uint64(length - 1))
            put_word(scratch, 8 * _GIVEN, np.uint64(given + count))
            return count
        put_word(scratch, 8 * _UNITS, np.uint64(units))
        if ended:
            return 0


@inner
def _hash_points(scratch, count, length, high):
    check(scratch, POINTS, 4 * (count + STEP + length))
    check(scratch, LOW, 4 * (count + STEP))
    at, start = scratch[0] + np.uint64(POINTS), np.uint64(length) * _LENGTH32
    _hash_characters(at, count, length, buffer_of(_LOW_WEIGHTS)[0], start, scratch[0] + np.uint64(LOW))
    if high:
        _hash_characters(at, count, length, buffer_of(_HIGH_WEIGHTS)[0], start, scratch[0] + np.uint64(HIGH))


@inner
def _hash_words(scratch, count, length):
    for i in range(count):
        h = np.uint64(length) * _LENGTH64
        for j in range(length):
            h += word(scratch, _KEYS + 8 * (i + j)) * WORD_WEIGHTS[j]
        h = fmix64(h)
        put_half(scratch, LOW + 4 * i, h)
        put_half(scratch, HIGH + 4 * i, h >> np.uint64(32))


@inner
def fmix64(h):
    """MurmurHash3's 64-bit finaliser."""
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@inner
def _more_words(buffer, end, fold, scratch, units):
    """Append the keys of the words of the next points; the last word of a tile may go on in the next."""
    count = more_points(buffer, end, fold, scratch, 0, TILE)
    key = word(scratch, 8 * _KEY)
    for i in range(count):
        point = half(scratch, POINTS + 4 * i)
        if point != _BLANK:
            key = (key + point + _ONE) * _BASE
        elif key != 0:
            put_word(scratch, _KEYS + 8 * units, key)
            units += 1
            key = np.uint64(0)
    if item64(scratch, AT) == end and key != 0:
        put_word(scratch, _KEYS + 8 * units, key)
        units += 1
        key = np.uint64(0)
    put_word(scratch, 8 * _KEY, key)
    return units


@inner
def _shingle(scratch, i):
    """The 64-bit hash of shingle i of a tile, both halves of which were asked for."""
    return half(scratch, LOW + 4 * i) | half(scratch, HIGH + 4 * i) << np.uint64(32)


def table_slots(count):
    """How many slots a table for so many values has: a power of two, four to eight a value: few values
    meet at a slot, so the processor guesses right."""
    slots = 64
    while slots < 4 * count:
        slots *= 2
    return slots


_table_slots = inner(table_slots)


@inner
def _slot(table, slots, values, first, value):
    """Where a value is in a table, or the free slot where it belongs.

    A table is a buffer of open addressing: a slot has k + 1 for the value at place first + k of the buffer
    `values`, or 0 where it is free.
    """
    slot = np.int64(value) & slots - 1
    while True:
        held = np.int64(half(table, 4 * slot))
        if held == 0 or word(values, 8 * (first + held - 1)) == value:
            return slot
        slot = slot + 1 & slots - 1


@inner
def _clear(table, slots):
    for slot in range(0, slots, 2):
        put_word(table, 4 * slot, np.uint64(0))


@kernel
def _distinct(data, offsets, rows, kind, n, fold, scratch, table, values, ends):
    total = 0
    for i in range(rows[1] >> 3):
        row = item64(rows, i)
        start, end, first = item64(offsets, row), item64(offsets, row + 1), total
        begin(scratch, start)
        slots = _table_slots(end - start)
        _clear(table, slots)
        while True:
            count = next_tile(data, end, kind, n, fold, True, scratch)
            if count == 0:
                break
            for k in range(count):
                value = _shingle(scratch, k)
                slot = _slot(table, slots, values, first, value)
                if half(table, 4 * slot) == 0:
                    put_word(values, 8 * total, value)
                    total += 1
                    put_half(table, 4 * slot, np.uint64(total - first))
        put_word(ends, 8 * (i + 1), np.uint64(total))


def distinct(data: U8, offsets: Int64s, kind: int, n: int, fold: U32, rows: Int64s | None = None):
    """See kernels.reference.shingles.distinct. Memory: 8 bytes a byte of text for the result's room, and up
    to 32 a byte of the longest row for its table."""
    data, offsets = np.ascontiguousarray(data, np.uint8), np.ascontiguousarray(offsets, np.int64)
    rows = np.arange(len(offsets) - 1) if rows is None else np.ascontiguousarray(rows, np.int64)
    fold, scratch = np.ascontiguousarray(fold, np.uint32), new_scratch()
    lengths = (offsets[1:] - offsets[:-1])[rows]
    table = np.empty(table_slots(int(lengths.max(initial=0))), np.uint32)
    values = np.empty(int(lengths.sum()), np.uint64)
    ends = np.zeros(len(rows) + 1, np.int64)
    buffers = whole(data), whole(offsets), whole(rows)
    _distinct(*buffers, kind, n, whole(fold), whole(scratch), whole(table), whole(values), whole(ends))
    return values[: ends[-1]], ends


WINDOW = 32
"""How far ahead of a difference two sets are searched for where they meet again."""


@inner
def _meeting(values, i, end, others, j, other_end):
    """How far from i and j the nearest equal values are: (steps, of them past i), (0, 0) beyond WINDOW."""
    for steps in range(1, 2 * WINDOW - 1):
        for ahead in range(max(0, steps - WINDOW + 1), min(steps + 1, WINDOW)):
            a, b = i + ahead, j + steps - ahead
            if a < end and b < other_end and word(values, 8 * a) == word(others, 8 * b):
                return steps, ahead
    return 0, 0


@inner
def _move(source, i, count, target, at):
    """Append `count` values to the `at` that a buffer holds; the new number."""
    for k in range(count):
        put_word(target, 8 * (at + k), word(source, 8 * (i + k)))
    return at + count


@inner
def _side_by_side(values, i, end, others, j, other_end, left, right):
    """Go through two sets for values that meet: (how many do, how many of each set do not); those that do not
    are in `left` and `right`. Where the sets differ much the rest is left to a table: the searches compare no
    more than half as many values as the sets have."""
    shared, lefts, rights, effort = 0, 0, 0, (end - i + other_end - j) >> 1
    while i < end and j < other_end and effort > 0:
        if word(values, 8 * i) == word(others, 8 * j):
            shared, i, j = shared + 1, i + 1, j + 1
            continue
        steps, ahead = _meeting(values, i, end, others, j, other_end)
        behind = steps - ahead
        effort -= steps * steps // 2
        if steps == 0:
            effort -= WINDOW * WINDOW
            ahead, behind = min(WINDOW, end - i), min(WINDOW, other_end - j)
        lefts = _move(values, i, ahead, left, lefts)
        rights = _move(others, j, behind, right, rights)
        i, j = i + ahead, j + behind
    lefts = _move(values, i, end - i, left, lefts)
    rights = _move(others, j, other_end - j, right, rights)
    return shared, lefts, rights


@inner
def _fill(table, values, first, count):
    """A table of the `count` values from `first` on; its slots."""
    slots = _table_slots(count)
    _clear(table, slots)
    for k in range(count):
        value = word(values, 8 * (first + k))
        put_half(table, 4 * _slot(table, slots, values, first, value), np.uint64(k + 1))
    return slots


@inner
def _found(table, slots, values, first, others, j, other_end):
    """How many of others[j:other_end] a table has."""
    result = 0
    for k in range(j, other_end):
        slot = _slot(table, slots, values, first, word(others, 8 * k))
        result += np.int64(half(table, 4 * slot) != 0)
    return result


@kernel
def _intersections(values, offsets, others, other_offsets, pairs, left, right, table, result):
    """A value is in a set once: one that met its equal is done with, and only the others are looked up."""
    number, loaded, slots = result[1] >> 3, -1, 0
    for p in range(number):
        a, b = item64(pairs, 2 * p), item64(pairs, 2 * p + 1)
        i, j = item64(offsets, a), item64(other_offsets, b)
        end, other_end = item64(offsets, a + 1), item64(other_offsets, b + 1)
        if values[0] == others[0] and i == j and end == other_end:
            put_word(result, 8 * p, np.uint64(end - i))
            continue
        if loaded == a:
            put_word(result, 8 * p, np.uint64(_found(table, slots, values, i, others, j, other_end)))
            continue
        shared, lefts, rights = _side_by_side(values, i, end, others, j, other_end, left, right)
        if lefts > 0 and rights > 0:
            if p + 1 < number and item64(pairs, 2 * p + 2) == a:
                slots, loaded = _fill(table, values, i, end - i), a
                shared += _found(table, slots, values, i, right, 0, rights)
            else:
                slots, loaded = _fill(table, left, 0, lefts), -1
                shared += _found(table, slots, left, 0, right, 0, rights)
        put_word(result, 8 * p, np.uint64(shared))


def intersections(
    values: U64, offsets: Int64s, other_values: U64, other_offsets: Int64s, pairs: Int64s
) -> Int64s:
    """See kernels.reference.shingles.intersections. Sets of near-duplicates are mostly the same values in the
    same order: they are gone through side by side. What differs goes by a table, which is kept while the next
    pairs start with the same set, so pairs are best sorted. Memory: 48 bytes a shingle of the largest set."""
    values, others = np.ascontiguousarray(values, np.uint64), np.ascontiguousarray(other_values, np.uint64)
    offsets, pairs = np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(pairs, np.int64)
    other_offsets = np.ascontiguousarray(other_offsets, np.int64)
    largest, other_largest = (int(np.diff(ends).max(initial=0)) for ends in (offsets, other_offsets))
    left, right = np.empty(largest, np.uint64), np.empty(other_largest, np.uint64)
    table, result = np.empty(table_slots(largest), np.uint32), np.empty(len(pairs), np.int64)
    sets = whole(values), whole(offsets), whole(others), whole(other_offsets)
    _intersections(*sets, whole(pairs), whole(left), whole(right), whole(table), whole(result))
    return result


@kernel
def _first_found(data, offsets, kind, n, fold, scratch, values, owners, starts, bits, result):
    shift = np.uint64(64 - bits)
    for row in range(result[1] >> 3):
        end, owner = item64(offsets, row + 1), -1
        begin(scratch, item64(offsets, row))
        while owner < 0:
            count = next_tile(data, end, kind, n, fold, True, scratch)
            if count == 0:
                break
            for k in range(count):
                value = _shingle(scratch, k)
                at = np.int64(value >> shift)
                for v in range(item64(starts, at), item64(starts, at + 1)):
                    if word(values, 8 * v) == value:
                        owner = item64(owners, v)
                if owner >= 0:
                    break
        put_word(result, 8 * row, np.uint64(owner))


def first_found(data: U8, offsets: Int64s, kind: int, n: int, fold: U32, index: Lookup) -> Int64s:
    """See kernels.reference.shingles.first_found: about one value of the index is read for each shingle."""
    data, offsets = np.ascontiguousarray(data, np.uint8), np.ascontiguousarray(offsets, np.int64)
    fold, scratch = np.ascontiguousarray(fold, np.uint32), new_scratch()
    result = np.empty(len(offsets) - 1, np.int64)
    text, held = (whole(data), whole(offsets)), tuple(map(whole, index[:3]))
    _first_found(*text, kind, n, whole(fold), whole(scratch), *held, index.bits, whole(result))
    return result
