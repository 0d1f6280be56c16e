"""Rows of the same shape. See reference/grouping.py.

An open-addressing table of groups by a hash of the row's items (FNV-1a, Fowler, Noll and Vo, over words of
eight items); a hit is compared with the items themselves, so a collision cannot join two shapes. Bytes read:
the items twice; written: 4 a row.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import byte, item64, whole, word
from forge_gpu.kernels.layout import I32, I64, U8
from forge_gpu.kernels.reference.grouping import check

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
FREE = -1


@inner
def _last_few(code, i, count):
    value = np.uint64(0)
    for k in range(count):
        value |= np.uint64(byte(code, i + k)) << np.uint64(8 * k)
    return value


@inner
def _eight(code, i, end):
    """Up to eight items from i on as one word, those from `end` on as zeros."""
    count = min(end - i, 8)
    if i + 8 > code[1]:
        return _last_few(code, i, count)
    return word(code, i) & ~np.uint64(0) >> np.uint64(64 - 8 * count)


@inner
def _hash(code, start, end):
    value = OFFSET ^ np.uint64(end - start)
    i = start
    while i < end:
        value = (value ^ _eight(code, i, end)) * PRIME
        value ^= value >> np.uint64(32)
        i += 8
    return np.int64(value & np.uint64(0x7FFFFFFF))


@inner
def _same(code, start, other, count):
    for k in range(0, count, 8):
        if _eight(code, start + k, start + count) != _eight(code, other + k, other + count):
            return False
    return True


@kernel
def _group(first, code, required, table, groups, examples):
    """Returns the number of groups."""
    mask = len(table) - 1
    result = 0
    for row in range(len(groups)):
        if byte(required, row) == 0:
            groups[row] = -1
            continue
        start, end = item64(first, row), item64(first, row + 1)
        at = _hash(code, start, end) & mask
        while table[at] != FREE:
            other = examples[table[at]]
            begin = item64(first, other)
            if item64(first, other + 1) - begin == end - start and _same(code, start, begin, end - start):
                break
            at = (at + 1) & mask
        if table[at] == FREE:
            table[at] = result
            examples[result] = row
            result += 1
        groups[row] = table[at]
    return result


def group_rows(first: I64, code: U8, required: U8) -> tuple[I32, I64]:
    """Put rows together whose items are the same; (group of each row, first row of each group)."""
    first, code = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(code, np.uint8)
    required = np.ascontiguousarray(required).view(np.uint8)
    check(first, code, required)
    n = len(required)
    table = np.full(1 << (2 * n + 1).bit_length(), FREE, np.int32)
    groups, examples = np.empty(n, np.int32), np.empty(n, np.int64)
    result = _group(whole(first), whole(code), whole(required), table, groups, examples)
    return groups, examples[:result].copy()
