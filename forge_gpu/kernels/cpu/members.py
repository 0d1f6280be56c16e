"""What stands under a key, or at a place, in each value of a column. See reference/members.py."""

from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.grammar import (
    BLANK,
    COMMA,
    LETTER_N,
    OPEN_ARRAY,
    OPEN_OBJECT,
    OPEN_TO_CLOSE,
    after_blank,
    members_end,
    new_seams,
    put_span,
    value_end,
)
from forge_gpu.kernels.cpu.memory import byte, whole
from forge_gpu.kernels.cpu.names import pack_names
from forge_gpu.kernels.cpu.strings import INVALID, NONE, ONE, QUOTE, body_kind
from forge_gpu.kernels.layout import ABSENT, JSON, MAX_DEPTH, NULL, Spans
from forge_gpu.kernels.reference.members import LAST
from forge_gpu.kernels.scratch import Scratch

CLOSE_ARRAY = OPEN_ARRAY + OPEN_TO_CLOSE


@inner
def _forget(columns, count, row):
    for k in range(count):
        put_span(columns, k, row, NONE, NONE, np.int64(ABSENT))


@kernel
def _scan_members(buffer, starts, lengths, kinds, names, seams, closings, columns):
    """names, seams, columns: see grammar; a row of the columns for each of the values."""
    for row in range(len(kinds)):
        p, length = starts[row], lengths[row]
        _forget(columns, names[1], row)
        if kinds[row] != JSON or length == 0 or byte(buffer, p) != OPEN_OBJECT:
            continue
        end, _, _, _ = members_end(buffer, p + 1, BLANK, ONE, closings, names, seams, columns, row)
        if end != p + length:
            _forget(columns, names[1], row)


@inner
def _put_element(buffer, p, end, marks, columns, row):
    c = byte(buffer, p)
    if c == LETTER_N:
        put_span(columns, 0, row, NONE, NONE, np.int64(NULL))
    elif c == QUOTE:
        put_span(columns, 0, row, p + 1, end - p - 2, body_kind(marks))
    else:
        put_span(columns, 0, row, p, end - p, np.int64(JSON))


@inner
def _list_end(buffer, p, place, closings, columns, row):
    """Index after the list at p, whose element goes to the row of columns."""
    size = buffer[1]
    p = after_blank(buffer, p + 1, BLANK)
    if p < size and byte(buffer, p) == CLOSE_ARRAY:
        return p + 1
    number = 0
    while True:
        end, _, marks = value_end(buffer, p, BLANK, ONE, closings)
        if end < 0:
            return end
        if number == place or place == LAST:
            _put_element(buffer, p, end, marks, columns, row)
        number += 1
        p = after_blank(buffer, end, BLANK)
        if p >= size:
            return INVALID
        if byte(buffer, p) == CLOSE_ARRAY:
            return p + 1
        if byte(buffer, p) != COMMA:
            return INVALID
        p = after_blank(buffer, p + 1, BLANK)


@kernel
def _scan_elements(buffer, starts, lengths, kinds, place, closings, columns):
    for row in range(len(kinds)):
        p, length = starts[row], lengths[row]
        _forget(columns, 1, row)
        if kinds[row] != JSON or length == 0 or byte(buffer, p) != OPEN_ARRAY:
            continue
        if _list_end(buffer, p, place, closings, columns, row) != p + length:
            _forget(columns, 1, row)


def scan_members(column: Spans, keys: Sequence[str], scratch: Scratch | None = None) -> dict[str, Spans]:
    """See reference/members.py. Bytes moved: the values read once, 17 bytes written a row and key."""
    scratch = scratch or Scratch()
    required = tuple(dict.fromkeys(keys))
    data, rows = np.ascontiguousarray(column.data), len(column)
    table, count = pack_names(required)
    closings = scratch.array("members.closings", MAX_DEPTH, np.uint8)
    seams = new_seams(count, scratch)
    result = _columns(count, rows)
    _scan_members(
        whole(data),
        column.start,
        column.length,
        column.kind,
        (whole(table), count),
        whole(seams),
        whole(closings),
        (*map(whole, result), rows),
    )
    return {
        key: Spans(column.data, *span) for key, span in zip(required, zip(*result, strict=True), strict=True)
    }


def scan_elements(column: Spans, place: int, scratch: Scratch | None = None) -> Spans:
    """See reference/members.py. Bytes moved: the lists read once, 17 bytes written a row."""
    if place < LAST:
        raise ValueError(f"no place in a list: {place}")
    scratch = scratch or Scratch()
    data, rows = np.ascontiguousarray(column.data), len(column)
    closings = scratch.array("members.closings", MAX_DEPTH, np.uint8)
    start, length, kind = result = _columns(1, rows)
    _scan_elements(
        whole(data),
        column.start,
        column.length,
        column.kind,
        np.int64(place),
        whole(closings),
        (*map(whole, result), rows),
    )
    return Spans(column.data, start[0], length[0], kind[0])


def _columns(count, rows):
    """Arrays of their own: what is found is a column of the records from then on."""
    return (
        np.empty((count, rows), np.int64),
        np.empty((count, rows), np.int64),
        np.empty((count, rows), np.uint8),
    )
