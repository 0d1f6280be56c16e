"""Rows of the same shape. See reference/grouping.py.

An open-addressing table of groups by a hash of the row's items (FNV-1a, Fowler, Noll and Vo); a hit is
compared item by item, so a collision cannot join two shapes. Bytes read: the items twice; written: 4 a row.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import byte, item64, whole
from forge_gpu.kernels.layout import I32, I64, U8
from forge_gpu.kernels.reference.grouping import check

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
FREE = -1


@inner
def _hash(code, start, end):
    value = OFFSET
    for i in range(start, end):
        value = (value ^ np.uint64(byte(code, i))) * PRIME
    return np.int64((value ^ (value >> np.uint64(32))) & np.uint64(0x7FFFFFFF))


@inner
def _same(code, start, other, count):
    for k in range(count):
        if byte(code, start + k) != byte(code, other + k):
            return False
    return True


@kernel
def _group(first, code, wanted, table, groups, examples):
    """Returns the number of groups."""
    mask = len(table) - 1
    found = 0
    for row in range(len(groups)):
        if byte(wanted, row) == 0:
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
            table[at] = found
            examples[found] = row
            found += 1
        groups[row] = table[at]
    return found


def group_rows(first: I64, code: U8, wanted: U8) -> tuple[I32, I64]:
    """Put rows together whose items are the same; (group of each row, first row of each group)."""
    first, code = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(code, np.uint8)
    wanted = np.ascontiguousarray(wanted).view(np.uint8)
    check(first, code, wanted)
    n = len(wanted)
    table = np.full(1 << (2 * n + 1).bit_length(), FREE, np.int32)
    groups, examples = np.empty(n, np.int32), np.empty(n, np.int64)
    found = _group(whole(first), whole(code), whole(wanted), table, groups, examples)
    return groups, examples[:found].copy()
