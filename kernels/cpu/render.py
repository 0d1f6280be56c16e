"""Running programs over columns (see reference/render.py), in one pass over the rows.

The output grows as needed: before each part the kernel knows what it can write at most, and where that
does not fit it returns, to go on from the start of that row in a larger buffer. Only an escape has a bound
far from its size (six times): there the exact size is counted before the buffer is said to be too small.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.jsontext import compact, contiguous, escape, escaped_size, recode, unescape
from forge_gpu.kernels.cpu.memory import address, byte, copy, item32, item64, put_byte, whole
from forge_gpu.kernels.layout import (
    ABSENT,
    ESCAPED,
    I32,
    I64,
    JSON,
    LITERAL,
    LITERAL_IF_TEXT,
    NULL,
    PADDING,
    PLAIN,
    RAW_SLOT,
    SLOT,
    ProgramTable,
    Spans,
    Text,
)
from forge_gpu.kernels.reference.render import KEPT_TABLES, check_table
from forge_gpu.kernels.scratch import Scratch

# How a call of the kernel ends; BAD_* carry the number of the column.
DONE, FULL, BAD_ROW, BAD_PROGRAM, BAD_ELEMENT, BAD_SPAN = range(6)

# Items of a column's row in the column table.
DATA, SIZE, START, LENGTH, KIND, COUNT, LEVEL = range(7)

QUOTE = ord('"')
NULL_WORD = int.from_bytes(b"null", "little")
FIRST_CAPACITY = 1 << 16
ESCAPED_MAX = 6  # bytes that one byte can become
VALUE_EXTRA = 4  # bytes of a value beyond its body: two quotes, or `null`

# What is done with a span, by the way of the slot (an encoding, or RAW) and the kind of the span.
RAW = 2
NOTHING, COPY, ESCAPE, UNESCAPE, RECODE, COMPACT, WRITE_NULL = range(7)
_WORK = np.array(
    # ABSENT, NULL, PLAIN, CLEAN, ESCAPED, JSON
    [
        [NOTHING, NOTHING, COPY, COPY, UNESCAPE, COPY],  # AS_TEXT
        [NOTHING, NOTHING, ESCAPE, COPY, RECODE, ESCAPE],  # AS_JSON
        [NOTHING, WRITE_NULL, ESCAPE, COPY, COPY, COMPACT],  # RAW; strings between quotes
    ],
    np.uint8,
)


@inner
def _bound(source, start, count, work, room):
    """The most bytes that a slot writes; exact where the easy bound of an escape is more than `room`."""
    if work != ESCAPE:
        return count + VALUE_EXTRA
    if ESCAPED_MAX * count + VALUE_EXTRA <= room:
        return ESCAPED_MAX * count + VALUE_EXTRA
    return escaped_size(source, start, count) + VALUE_EXTRA


@inner
def _put(target, at, source, start, count, work, quoted):
    """Write a span of `count` bytes at `start`. Returns the end of the output."""
    if quoted:
        put_byte(target, at, QUOTE)
        at += 1
    if work == COPY:
        copy(target, at, source, start, count)
        at += count
    elif work == ESCAPE:
        at = escape(target, at, source, start, count)
    elif work == RECODE:
        at = recode(target, at, source, start, count)
    elif work == UNESCAPE:
        at = unescape(target, at, source, start, count)
    elif work == COMPACT:
        at = compact(target, at, source, start, count)
    elif work == WRITE_NULL:
        for k in range(4):
            put_byte(target, at + k, NULL_WORD >> 8 * k & 255)
        at += 4
    if quoted:
        put_byte(target, at, QUOTE)
        at += 1
    return at


@inner
def _locate(table, c, first, r, element):
    """Where column c has the value of row r: (DONE or a fault, its index, kind, start, length)."""
    zero = np.int64(0)
    count = table[c, COUNT]
    i = r
    if table[c, LEVEL]:
        begin = item64(first, r)
        if begin < 0 or begin >= count:  # before the sum: it must not overflow
            return BAD_ELEMENT, i, zero, zero, zero
        i = begin + element
        if i >= item64(first, r + 1) or i >= count:
            return BAD_ELEMENT, i, zero, zero, zero
    kind = byte((np.uint64(table[c, KIND]), count), i)
    start = item64((np.uint64(table[c, START]), 8 * count), i)
    length = item64((np.uint64(table[c, LENGTH]), 8 * count), i)
    size = table[c, SIZE]
    if start < 0 or length < 0 or length > size or start > size - length or kind > JSON:
        return BAD_SPAN, i, zero, zero, zero
    return DONE, i, kind, start, length


@kernel
def _render(part, starts, literals, bounds, table, program, rows, first, encoding, target, offsets, j, at):
    """Rows j and on into target[at:]. Returns (how it ended, next j, where its output starts, detail).

    starts, bounds: where each program's parts and each literal start, and where the last ends.
    table: int64[c, 7], the columns.
    """
    capacity = target[1] - PADDING
    while j < rows[1] // 8:
        row_at = at
        r = item64(rows, j)
        if r < 0 or r >= program[1] // 4:
            return BAD_ROW, j, row_at, r
        number = item32(program, r)
        if number < -1 or number >= len(starts) - 1:
            return BAD_PROGRAM, j, row_at, number
        end = starts[number + 1] if number >= 0 else np.int64(0)
        for p in range(starts[number] if number >= 0 else end, end):
            operation = part[p, 0]
            if operation != LITERAL:
                c = part[p, 2]
                fault, i, kind, start, count = _locate(table, c, first, r, part[p, 3])
                if fault != DONE:
                    return fault, j, row_at, np.int64(p) if fault == BAD_ELEMENT else i
                if operation == SLOT or operation == RAW_SLOT:
                    source = (np.uint64(table[c, DATA]), table[c, SIZE])
                    raw = operation == RAW_SLOT
                    work = _WORK[RAW if raw else encoding, kind]
                    need = at + _bound(source, start, count, work, capacity - at)
                    if need > capacity:
                        return FULL, j, row_at, need
                    quoted = raw and kind >= PLAIN and kind <= ESCAPED
                    at = _put(target, at, source, start, count, work, quoted)
                    continue
                if kind == ABSENT or (operation == LITERAL_IF_TEXT and (kind == NULL or count == 0)):
                    continue
            start = bounds[part[p, 1]]
            count = bounds[part[p, 1] + 1] - start
            if at + count > capacity:
                return FULL, j, row_at, at + count
            copy(target, at, literals, start, count)
            at += count
        j += 1
        offsets[j] = at
    return DONE, j, at, np.int64(0)


def render(
    table: ProgramTable,
    program: I32,
    columns: Sequence[Spans],
    rows: I64,
    encoding: int,
    first: I64 | None,
    scratch: Scratch,
) -> Text:
    """Run program[r] for each r of `rows`, in their order; program -1 writes nothing.

    program: int32[n]. columns: in the order of table.columns; one of row level has n values. rows: int64[k],
    each in [0, n). encoding: AS_TEXT or AS_JSON. first: int64[n + 1], the messages of each row; needed where
    a column is of message level: its value for row r and element e is value first[r] + e. Returns k texts,
    valid until the next call with the same scratch.

    Raises ValueError where a table, a program, a row, an element or a span points outside of what it indexes.
    Bytes moved: 2 x the output, 16 a part and 17 a slot.
    """
    check_table(table, program, columns, encoding, first)
    spans = [contiguous(column) for column in columns]  # kept while the table points to them
    program = np.ascontiguousarray(program, np.int32)
    rows = np.ascontiguousarray(rows, np.int64)
    first = np.zeros(0, np.int64) if first is None else np.ascontiguousarray(first, np.int64)
    part, starts, literals, bounds = _arrays(table)
    tables = part, starts, whole(literals), bounds, _column_table(spans, table)
    offsets = scratch.array("render.offsets", len(rows) + 1, np.int64)
    offsets[0] = 0
    size = max(scratch.held("render.data"), FIRST_CAPACITY)
    target = scratch.array("render.data", size, np.uint8)
    j = at = 0
    while True:
        ended, j, at, detail = _render(
            *tables, whole(program), whole(rows), whole(first), encoding, whole(target), offsets, j, at
        )
        if ended == DONE:
            return Text(target[: at + PADDING], offsets)
        if ended != FULL:
            raise ValueError(_message(ended, int(rows[j]), detail, table))
        # What the rows so far say about the rest, but at most four times: rows may be very unequal.
        expected = min(at * len(rows) // max(j, 1) * 17 // 16, 4 * len(target))
        before = target
        target = scratch.array("render.data", max(detail, expected) + PADDING, np.uint8)
        target[:at] = before[:at]


@lru_cache(maxsize=KEPT_TABLES)
def _arrays(table: ProgramTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(part, program, literals, literal_offsets) of a table as the kernel reads them."""
    return (
        table.part.astype(np.int64, order="C"),
        table.program.astype(np.int64),
        np.ascontiguousarray(table.literals, np.uint8),
        table.literal_offsets.astype(np.int64),
    )


def _column_table(spans: Sequence[tuple[np.ndarray, ...]], table: ProgramTable) -> np.ndarray:
    """Where the columns lie: int64[c, 7], items in the order of DATA ... LEVEL."""
    rows = [
        (address(data), len(data), address(start), address(length), address(kind), len(kind), level)
        for (data, start, length, kind), level in zip(spans, table.level.tolist(), strict=True)
    ]
    return np.array(rows, np.int64).reshape(len(rows), LEVEL + 1)


def _message(ended: int, row: int, detail: int, table: ProgramTable) -> str:
    if ended == BAD_ROW:
        return f"row {row} is none of the rows that have a program"
    if ended == BAD_PROGRAM:
        return f"row {row} has program {detail} of {len(table)}"
    if ended == BAD_ELEMENT:
        _, _, column, element = table.part[detail]
        return f"row {row} has no message {element} in column {table.columns[column]!r}"
    return f"row {row}: value {detail} of a column lies outside its buffer or has an unknown kind"
