"""Values compared, tested and looked up. Where an answer may be UNKNOWN, only Python knows it."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import byte, item64, put_item64
from forge_gpu.kernels.cpu.vm_find import find_text
from forge_gpu.kernels.cpu.vm_machine import (
    TYPE_MASK,
    buffer_at,
    burn,
    cells,
    code_point,
    memory,
    same_bytes,
)
from forge_gpu.kernels.vm_layout import (
    BIGINT,
    BOOL,
    DICT,
    FLOAT,
    INT,
    IS_FALSE,
    IS_TRUE,
    ITEMS,
    LIST,
    NAMESPACE,
    NONE,
    SAFE,
    TEXT,
    TUPLE,
    TYPE_BITS,
    UNDEFINED,
    VIEW,
    Word,
)

UNKNOWN = 2
WORD_OF_FUEL = 256  # bytes compared or searched for one step of fuel


@inner
def is_text(w):
    return w & TYPE_MASK == TEXT or w & TYPE_MASK == SAFE


@inner
def truth(m, a, w):
    kind = w & TYPE_MASK
    if kind <= NONE:
        return 0
    if kind == BOOL or kind == INT:
        return int(a != 0)
    if kind == FLOAT:
        mem = memory(m)
        for k in range(w >> TYPE_BITS):
            if 49 <= byte(mem, a + k) <= 57:
                return 1
        return 0
    if kind >= NAMESPACE or kind == BIGINT:
        return 1
    return int(w >> TYPE_BITS > 0)


@inner
def passes(a, w, mask):
    """Is the type of a value in a mask (vm_layout.TESTS)?"""
    if (mask >> (w & TYPE_MASK)) & 1 == 0:
        return 0
    if mask & IS_TRUE:
        return int(a == 1)
    if mask & IS_FALSE:
        return int(a == 0)
    return 1


@inner
def lookup(m, a, w, key, length):
    """The cell of the value that dict (a, w) has for a key, -1 where it has none."""
    mem, buffer = memory(m), cells(m)
    required = length << TYPE_BITS | TEXT
    for k in range(w >> TYPE_BITS):
        cell = a + 2 * k
        if item64(buffer, 2 * cell + 1) == required and same_bytes(
            mem, item64(buffer, 2 * cell), key, length
        ):
            return cell + 1
    return np.int64(-1)


@inner
def equal_shallow(m, a, w, x, y):
    """(a, w) == (x, y): 0, 1 or UNKNOWN; UNKNOWN too for two structures of one type and size."""
    kind, other = w & TYPE_MASK, y & TYPE_MASK
    if is_text(w) and is_text(y):
        if w >> TYPE_BITS != y >> TYPE_BITS:
            return 0
        burn(m, (w >> TYPE_BITS) // WORD_OF_FUEL)
        return int(same_bytes(memory(m), a, x, w >> TYPE_BITS))
    if (kind == INT or kind == BOOL) and (other == INT or other == BOOL):
        return int(a == x)
    number, other_number = BOOL <= kind <= FLOAT, BOOL <= other <= FLOAT
    if number and other_number:
        if kind != other:
            return UNKNOWN
        if w == y and same_bytes(memory(m), a, x, w >> TYPE_BITS):
            return 1
        return int(kind == FLOAT and not truth(m, a, w) and not truth(m, x, y))
    if kind >= ITEMS or other >= ITEMS:
        return 0 if min(kind, other) <= SAFE else UNKNOWN
    if kind != other:
        return 0
    if kind in (LIST, TUPLE, DICT):
        if w != y:
            return 0
        return 1 if w >> TYPE_BITS == 0 or a == x else UNKNOWN
    return 1  # both undefined, or both none


@inner
def equal(m, a, w, x, y):
    """(a, w) == (x, y), structures too: 0, 1 or UNKNOWN."""
    answer = equal_shallow(m, a, w, x, y)
    if answer != UNKNOWN or w != y or w & TYPE_MASK not in (LIST, TUPLE, DICT):
        return answer
    stack = buffer_at(m, Word.STACK)
    buffer = cells(m)
    room = (stack[1] >> 3) - 8
    put_item64(stack, 0, a)
    put_item64(stack, 1, w)
    put_item64(stack, 2, x)
    put_item64(stack, 3, y)
    depth = 4
    while depth:
        depth -= 4
        a, w = item64(stack, depth), item64(stack, depth + 1)
        x, y = item64(stack, depth + 2), item64(stack, depth + 3)
        answer = equal_shallow(m, a, w, x, y)
        if answer == 0:
            return 0
        if answer == 1:
            continue
        if w != y or w & TYPE_MASK not in (LIST, TUPLE, DICT):
            return UNKNOWN
        count = w >> TYPE_BITS
        if depth + 4 * count > room or not burn(m, count):
            return UNKNOWN
        for k in range(count):
            if w & TYPE_MASK == DICT:
                one = a + 2 * k + 1
                key = 2 * (one - 1)
                other = lookup(m, x, y, item64(buffer, key), item64(buffer, key + 1) >> TYPE_BITS)
                if other < 0:
                    return 0
            else:
                one, other = a + k, x + k
            put_item64(stack, depth, item64(buffer, 2 * one))
            put_item64(stack, depth + 1, item64(buffer, 2 * one + 1))
            put_item64(stack, depth + 2, item64(buffer, 2 * other))
            put_item64(stack, depth + 3, item64(buffer, 2 * other + 1))
            depth += 4
    return 1


@inner
def contains(m, a, w, x, y):
    """Is (a, w) in (x, y): 0, 1 or UNKNOWN."""
    kind, within = w & TYPE_MASK, y & TYPE_MASK
    if within == DICT:
        if is_text(w):
            return int(lookup(m, x, y, a, w >> TYPE_BITS) >= 0)
        return 0 if kind <= FLOAT else UNKNOWN
    if within == TEXT or within == SAFE:
        if not is_text(w):
            return UNKNOWN
        burn(m, (y >> TYPE_BITS) // WORD_OF_FUEL)
        return int(find_text(memory(m), x, y >> TYPE_BITS, a, w >> TYPE_BITS) >= 0)
    if within == LIST or within == TUPLE or within == VIEW:
        buffer = cells(m)
        burn(m, y >> TYPE_BITS)
        for k in range(y >> TYPE_BITS):
            answer = equal(m, a, w, item64(buffer, 2 * (x + k)), item64(buffer, 2 * (x + k) + 1))
            if answer != 0:
                return answer
        return 0
    return 0 if within == UNDEFINED else UNKNOWN


@inner
def order(m, a, w, x, y, caseless):
    """-1, 0 or 1 as one text comes before, equals or follows another, by code points; ASCII letters of both
    cases alike where `caseless`."""
    mem = memory(m)
    p, end = a, a + (w >> TYPE_BITS)
    q, other_end = x, x + (y >> TYPE_BITS)
    while p < end and q < other_end:
        one, size = code_point(mem, p)
        two, other_size = code_point(mem, q)
        if caseless:
            one = one + 32 if 65 <= one <= 90 else one
            two = two + 32 if 65 <= two <= 90 else two
        if one != two:
            return -1 if one < two else 1
        p += size
        q += other_size
    return 0 if p >= end and q >= other_end else -1 if p >= end else 1


@inner
def compare(m, a, w, x, y, which):
    """(a, w) <, <=, >, >= (x, y) for `which` 0 ... 3: 0, 1 or UNKNOWN."""
    kind, other = w & TYPE_MASK, y & TYPE_MASK
    if (kind == INT or kind == BOOL) and (other == INT or other == BOOL):
        sign = -1 if a < x else int(a > x)
    elif is_text(w) and is_text(y):
        burn(m, min(w, y) >> TYPE_BITS)
        sign = order(m, a, w, x, y, False)
    else:
        return UNKNOWN
    if which == 0:
        return int(sign < 0)
    if which == 1:
        return int(sign <= 0)
    return int(sign > 0) if which == 2 else int(sign >= 0)
