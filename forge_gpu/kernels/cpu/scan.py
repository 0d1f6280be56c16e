"""Records of a chunk of JSON, in one pass over its bytes. See reference/scan.py.

A good record is read once: its strings by 64-byte masks, its UTF-8 only where a byte is not ASCII. Only
a record with a fault is read again, to find its end and the reason that ranks first.
"""

from collections.abc import Sequence

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.grammar import (
    BLANK,
    COMMA,
    LINE_BLANK,
    OPEN_OBJECT,
    after_blank,
    members_end,
    new_seams,
    put_span,
    value_end,
)
from forge_gpu.kernels.cpu.memory import byte, find_newline, whole
from forge_gpu.kernels.cpu.names import pack_names
from forge_gpu.kernels.cpu.strings import INVALID, LONE_SURROGATE, NONE, ONE
from forge_gpu.kernels.cpu.structure import walk
from forge_gpu.kernels.cpu.utf8 import is_utf8
from forge_gpu.kernels.layout import ABSENT, CUT, ENDED, MAX_DEPTH, U8, Records, Spans
from forge_gpu.kernels.scratch import Scratch

NEWLINE = ord("\n")
INVALID_UTF8, HALF_PAIR, NOT_AN_OBJECT, ROW_TOO_LONG = (
    int(reason)
    for reason in (
        Reason.INVALID_UTF8,
        Reason.LONE_SURROGATE,
        Reason.NOT_AN_OBJECT,
        Reason.ROW_TOO_LONG,
    )
)


@inner
def _element_end(buffer, start):
    """Index of the comma after the array element that begins at `start`, or the buffer's size."""
    at, _, _, _, outcome = walk(buffer, start, start, ONE, NONE, NONE)
    while outcome == ENDED:  # a bracket that closes more than the element opened is a byte like any other
        at, _, _, _, outcome = walk(buffer, at + 1, start, ONE, NONE, NONE)
    return at - 1 if outcome == CUT else at


@inner
def _trimmed_end(buffer, start, end):
    while end > start and byte(buffer, end - 1) <= 32 and (BLANK >> byte(buffer, end - 1)) & 1:
        end -= 1
    return end


@inner
def _forget(columns, count, row):
    for k in range(count):
        put_span(columns, k, row, NONE, NONE, np.int64(ABSENT))


@kernel
def _scan(buffer, in_array, names, max_row_bytes, closings, seams, p, row, columns):
    """Scan from byte p into rows from `row` on, until the end or no row is left: (next p, next row).

    names, seams, columns: see grammar. After the columns of the names comes one of the records themselves,
    whose kind is the reason.
    """
    size, count = buffer[1], names[1]
    separator = COMMA if in_array else NEWLINE
    blank = BLANK if in_array else LINE_BLANK
    while True:
        p = after_blank(buffer, p, BLANK)
        if p >= size or row == columns[3]:
            return p, row
        _forget(columns, count, row)
        first = p
        why = NONE
        if byte(buffer, p) == OPEN_OBJECT:
            end, high, marks, _ = members_end(buffer, p + 1, blank, ONE, closings, names, seams, columns, row)
        else:
            end, high, marks = value_end(buffer, p, blank, NONE, closings)
            why = np.int64(NOT_AN_OBJECT)
        if end >= 0:
            p = after_blank(buffer, end, blank)
            if p < size and byte(buffer, p) != separator:
                end = INVALID
        if end < 0:
            why = -end
            p = _element_end(buffer, first) if in_array else find_newline(buffer, first, size)
            end = _trimmed_end(buffer, first, p)
            high = -1
        elif marks & LONE_SURROGATE:
            why = HALF_PAIR
        if high != 0 and not is_utf8(buffer, first, end):
            why = INVALID_UTF8
        if end - first > max_row_bytes:
            why = ROW_TOO_LONG
        if why != 0:
            _forget(columns, count, row)
        put_span(columns, count, row, first, end - first, why)
        row += 1
        p += 1


def scan_records(
    data: U8, form: str, keys: Sequence[str], max_row_bytes: int, scratch: Scratch | None = None
) -> Records:
    """Find the records of a chunk and the values of `keys` in each. See reference/scan.py.

    Rows are counted while they are scanned: the arrays (17 bytes a row and key) grow when they are full,
    and stay in `scratch` for the next chunk. Bytes moved: the chunk read once, the arrays written once.
    """
    if form not in ("lines", "array"):
        raise ValueError(f"form is {form!r}, neither 'lines' nor 'array'")
    required = tuple(dict.fromkeys(keys))
    table, count = pack_names(required)
    readable = np.ascontiguousarray(data)
    scratch = scratch or Scratch()
    closings = scratch.array("scan.closings", MAX_DEPTH, np.uint8)
    seams = new_seams(count, scratch)
    size, p, row = len(readable), 0, 0
    capacity = max(scratch.held("scan.kind") // (count + 1), size // 1024 + 64)
    result = _columns(scratch, count + 1, capacity)
    while True:
        p, row = _scan(
            whole(readable),
            form == "array",
            (whole(table), count),
            max_row_bytes,
            whole(closings),
            whole(seams),
            p,
            row,
            (*map(whole, result), capacity),
        )
        if p >= size:
            break
        capacity = row + int((size - p) * row / p * 1.1) + 64
        full, result = result, _columns(scratch, count + 1, capacity)
        for new, old in zip(result, full, strict=True):
            new[:, :row] = old
    *spans, record = zip(*(array[:, :row] for array in result), strict=True)
    columns = {key: Spans(data, *span) for key, span in zip(required, spans, strict=True)}
    return Records(data, *record, columns)


def _columns(scratch, count, rows):
    return tuple(
        scratch.array(f"scan.{name}", count * rows, dtype).reshape(count, rows)
        for name, dtype in (("start", np.int64), ("length", np.int64), ("kind", np.uint8))
    )
