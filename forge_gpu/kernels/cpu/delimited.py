"""Records of a table of text, and their fields. See reference/delimited.py."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import byte, put_byte, whole
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.kernels.reference.delimited import (
    GOOD,
    MALFORMED,
    MISCOUNTED,
    NEWLINE,
    NONE,
    RETURN,
    SPACE,
    Signs,
    Split,
)

UNFINISHED = -1


@inner
def _after_blanks(buffer, p, blanks):
    while blanks != 0 and p < buffer[1] and byte(buffer, p) == SPACE:
        p += 1
    return p


@inner
def _plain_end(buffer, p, delimiter):
    while p < buffer[1]:
        c = byte(buffer, p)
        if c == delimiter or c == NEWLINE or c == RETURN:
            break
        p += 1
    return p


@inner
def _quoted_end(buffer, p, quote, escape):
    """(index of the closing quote, whether anything is escaped); UNFINISHED where there is none."""
    size, escaped = buffer[1], 0
    while p < size:
        c = byte(buffer, p)
        if c == escape:
            escaped = 1
            p += 2
        elif c == quote:
            if escape != NONE or p + 1 >= size or byte(buffer, p + 1) != quote:
                return p, escaped
            escaped = 1
            p += 2
        else:
            p += 1
    return UNFINISHED, escaped


@inner
def _line_end(buffer, p):
    while p < buffer[1]:
        c = byte(buffer, p)
        if c == NEWLINE or c == RETURN:
            break
        p += 1
    return p


@inner
def _record(buffer, begin, signs, columns, is_last, row, start, length, escaped):
    """(end, status, fields) of the record at `begin`; its fields go to `row`. An end of UNFINISHED: it does
    not end in the buffer; its status says whether inside quotes."""
    delimiter, quote, escape, blanks = signs
    size = buffer[1]
    p, fields = begin, 0
    while True:
        first = _after_blanks(buffer, p, blanks)
        flag = 0
        if first < size and byte(buffer, first) == quote:
            first += 1
            end, flag = _quoted_end(buffer, first, quote, escape)
            if end == UNFINISHED:
                return UNFINISHED, 1, fields
            p = _after_blanks(buffer, end + 1, blanks)
        else:
            end = _plain_end(buffer, first, delimiter)
            p = end
        if fields < columns:
            start[row, fields] = first
            length[row, fields] = end - first
            escaped[row, fields] = flag
        fields += 1
        if p >= size:
            return (p, GOOD, fields) if is_last else (UNFINISHED, 0, fields)
        c = byte(buffer, p)
        if c == delimiter:
            p += 1
        elif c == NEWLINE or c == RETURN:
            return p, GOOD, fields
        else:
            end = _line_end(buffer, begin)
            return (end, MALFORMED, fields) if end < size or is_last else (UNFINISHED, 0, fields)


@kernel
def _split(buffer, signs, columns, is_last, p, row, about, status, start, length, escaped):
    """Records from byte p into rows from `row` on: (next p, next row, whether an open quote ended it). about:
    int64[rows, 3]: begin, end, width."""
    is_open = 0
    while p < buffer[1] and row < len(status):
        c = byte(buffer, p)
        if c == NEWLINE or c == RETURN:
            p += 1
            continue
        end, what, width = _record(buffer, p, signs, columns, is_last, row, start, length, escaped)
        if end == UNFINISHED:
            is_open = what
            break
        if what == GOOD and columns > 0 and width != columns:
            what = MISCOUNTED
        if what != GOOD:
            for column in range(min(columns, width)):
                start[row, column] = 0
                length[row, column] = 0
                escaped[row, column] = 0
        about[row, 0] = p
        about[row, 1] = end
        about[row, 2] = width
        status[row] = what
        row += 1
        p = end
    return p, row, is_open


@kernel
def _unescape(buffer, start, length, escaped, sign, quote, out, offsets):
    at = 0
    for row in range(len(start)):
        p = start[row]
        end = p + length[row]
        flag = escaped[row]
        while p < end:
            c = byte(buffer, p)
            if flag and c == sign and p + 1 < end:
                after = byte(buffer, p + 1)
                if after == sign or after == quote:
                    p += 1
                    c = after
            put_byte(out, at, c)
            at += 1
            p += 1
        offsets[row + 1] = at


def split_records(data: U8, signs: Signs, columns: int, is_last: bool, most: int = 2**62) -> Split:
    """See reference/delimited.py. Bytes moved: the block read once, 25 written a record and 17 a field."""
    readable = np.ascontiguousarray(data)
    signs_ = tuple(np.int64(sign) for sign in signs)
    p, row, is_open = 0, 0, 0
    rows = min(most, len(readable) // 64 + 64, max(2**18 // max(columns, 1), 8))
    arrays = _arrays(rows, columns)
    while True:
        p, row, is_open = _split(whole(readable), signs_, columns, is_last, p, row, *arrays)
        if p >= len(readable) or row == most or row < rows:
            break
        rows = min(most, 2 * rows)
        full, arrays = arrays, _arrays(rows, columns)
        for new, old in zip(arrays, full, strict=True):
            new[:row] = old[:row]
    about, status, start, length, escaped = (array[:row] for array in arrays)
    return Split(about[:, 0], about[:, 1], about[:, 2], status, start, length, escaped, int(p), bool(is_open))


def unescaped(data: U8, start: I64, length: I64, escaped: U8, signs: Signs) -> tuple[U8, I64]:
    """See reference/delimited.py. Bytes moved: the fields read and written once."""
    sign = signs.quote if signs.escape == NONE else signs.escape
    out = np.empty(int(length.sum()) + 64, np.uint8)
    offsets = np.zeros(len(start) + 1, np.int64)
    readable = np.ascontiguousarray(data)
    columns = (np.ascontiguousarray(start), np.ascontiguousarray(length), np.ascontiguousarray(escaped))
    _unescape(whole(readable), *columns, np.int64(sign), np.int64(signs.quote), whole(out), offsets)
    return out[: offsets[-1]], offsets


def _arrays(rows, columns):
    return (
        np.zeros((rows, 3), np.int64),
        np.zeros(rows, np.uint8),
        np.zeros((rows, columns), np.int64),
        np.zeros((rows, columns), np.int64),
        np.zeros((rows, columns), np.uint8),
    )
