"""Running programs over columns (see reference/render.py), in one pass over the rows.

The output grows as needed: before each part the kernel knows what it can write at most, and where that
does not fit it returns, to go on from the start of that row in a larger buffer. Only an escape has a bound
far from its size (six times): there the exact size is counted before the buffer is said to be too small.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.jsontext import compact, contiguous, escape, escaped_size, recode, unescape
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    address,
    byte,
    copy,
    copy_block,
    item32,
    item64,
    put_byte,
    whole,
)
from forge_gpu.kernels.layout import (
    ABSENT,
    AS_JSON,
    CANONICAL,
    CLEAN,
    ESCAPED,
    I32,
    I64,
    JSON,
    LITERAL,
    LITERAL_IF_PRESENT,
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
DATA, SIZE, START, LENGTH, KIND, COUNT, LEVEL, ITEMS = range(8)

# Items of a step: a literal, and what is done with it and a value. Operations of a step:
LITERAL_START, LITERAL_SIZE, OPERATION, COLUMN, ELEMENT, STEP = range(6)
ALONE, THEN_TEXT, THEN_VALUE, IF_TEXT, IF_PRESENT = range(5)
_STEP_OF = {
    LITERAL: ALONE,
    SLOT: THEN_TEXT,
    RAW_SLOT: THEN_VALUE,
    LITERAL_IF_TEXT: IF_TEXT,
    LITERAL_IF_PRESENT: IF_PRESENT,
}

QUOTE = ord('"')
NULL_WORD = int.from_bytes(b"null", "little")
FIRST_CAPACITY = 1 << 16
OVERCOPY = 4 * BLOCK  # bytes that the output has to spare while it is written
LONG = 4096  # bytes
MOST_MESSAGES = 1 << 62
ESCAPED_MAX = 6  # bytes that one byte can become
VALUE_EXTRA = 4  # bytes of a value beyond its body: two quotes, or `null`

# What is done with a span, by the way of the slot (an encoding, or RAW) and the kind of the span.
RAW = 2
NOTHING, COPY, ESCAPE, UNESCAPE, RECODE, COMPACT, WRITE_NULL = range(7)
_WORK = np.array(
    # ABSENT, NULL, PLAIN, CLEAN, CANONICAL, ESCAPED, JSON
    [
        [NOTHING, NOTHING, COPY, COPY, UNESCAPE, UNESCAPE, COPY],  # AS_TEXT
        [NOTHING, NOTHING, ESCAPE, COPY, COPY, RECODE, ESCAPE],  # AS_JSON
        [NOTHING, WRITE_NULL, ESCAPE, COPY, COPY, COPY, COMPACT],  # RAW; strings between quotes
    ],
    np.uint8,
)


# Bit k: a value of kind k is its own text, or its own body of a JSON string.
COPIED_AS_TEXT = 1 << PLAIN | 1 << CLEAN | 1 << JSON
COPIED_AS_JSON = 1 << CLEAN | 1 << CANONICAL


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
def _locate(table, c, i):
    """The value i of column c: (its kind, -1 where it is none or lies outside its buffer; start, length)."""
    zero = np.int64(0)
    c *= ITEMS
    count = item64(table, c + COUNT)
    kind = byte((np.uint64(item64(table, c + KIND)), count), i)
    start = item64((np.uint64(item64(table, c + START)), 8 * count), i)
    length = item64((np.uint64(item64(table, c + LENGTH)), 8 * count), i)
    size = item64(table, c + SIZE)
    if start < 0 or length < 0 or length > size or start > size - length or kind > JSON:
        return np.int64(-1), zero, zero
    return kind, start, length


@inner
def _put_literal(target, at, literals, start, size):
    """Write a literal: a short one as a block, since the pool has BLOCK to spare, and the output OVERCOPY."""
    if size <= BLOCK:
        copy_block(target, at, literals, start)
    else:
        copy(target, at, literals, start, size)
    return at + size


@inner
def _put_copy(target, at, source, start, count):
    """Write a span as it is. One that is not long goes in runs of OVERCOPY bytes, so that most take one turn
    of a loop; what the last run has too many is junk that the output has to spare."""
    if count > LONG or start + count + OVERCOPY > source[1]:
        copy(target, at, source, start, count)
        return at + count
    done = 0
    while done < count:
        for k in range(0, OVERCOPY, BLOCK):
            copy_block(target, at + done + k, source, start + done + k)
        done += OVERCOPY
    return at + count


@kernel
def _render(steps, starts, literals, table, program, rows, first, encoding, target, offsets, j, at):
    """Rows j and on into target[at:]. Returns (how it ended, next j, where its output starts, detail).

    steps, starts: see _steps. table: int64[c, ITEMS], the columns. All but `offsets` are buffers.
    """
    capacity = target[1] - OVERCOPY
    copied = COPIED_AS_JSON if encoding == AS_JSON else COPIED_AS_TEXT
    while j < rows[1] // 8:
        row_at = at
        r = item64(rows, j)
        if r < 0 or r >= program[1] // 4:
            return BAD_ROW, j, row_at, r
        number = item32(program, r)
        if number < -1 or number >= starts[1] // 8 - 1:
            return BAD_PROGRAM, j, row_at, number
        step, last = np.int64(0), np.int64(0)
        if number >= 0:
            step, last = item64(starts, number), item64(starts, number + 1)
        begin, end = np.int64(0), np.int64(0)
        if first[1] > 0:
            begin, end = item64(first, r), item64(first, r + 1)
            if begin < 0 or begin > MOST_MESSAGES:  # before a sum: it must not overflow
                begin, end = np.int64(0), np.int64(0)
        while step < last:
            s = STEP * step
            step += 1
            operation = item64(steps, s + OPERATION)
            literal, size = item64(steps, s + LITERAL_START), item64(steps, s + LITERAL_SIZE)
            if operation <= THEN_VALUE:
                if at + size > capacity:
                    return FULL, j, row_at, at + size
                at = _put_literal(target, at, literals, literal, size)
                if operation == ALONE:
                    continue
            c = item64(steps, s + COLUMN)
            i = r
            if item64(table, ITEMS * c + LEVEL):
                i = begin + item64(steps, s + ELEMENT)
                if i >= end or i >= item64(table, ITEMS * c + COUNT):
                    return BAD_ELEMENT, j, row_at, step - 1
            kind, start, count = _locate(table, c, i)
            if kind < 0:
                return BAD_SPAN, j, row_at, i
            if operation <= THEN_VALUE:
                source = (np.uint64(item64(table, ITEMS * c + DATA)), item64(table, ITEMS * c + SIZE))
                if operation == THEN_TEXT and copied >> kind & 1:
                    if at + count > capacity:
                        return FULL, j, row_at, at + count
                    at = _put_copy(target, at, source, start, count)
                    continue
                raw = operation == THEN_VALUE
                work = _WORK[RAW if raw else encoding, kind]
                need = at + _bound(source, start, count, work, capacity - at)
                if need > capacity:
                    return FULL, j, row_at, need
                at = _put(target, at, source, start, count, work, raw and kind >= PLAIN and kind <= ESCAPED)
            elif kind != ABSENT and (operation == IF_PRESENT or (kind != NULL and count > 0)):
                if at + size > capacity:
                    return FULL, j, row_at, at + size
                at = _put_literal(target, at, literals, literal, size)
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
    Bytes moved: 2 x the output, 40 a step (a literal and the slot after it) and 17 a slot.
    """
    check_table(table, program, columns, encoding, first)
    spans = [contiguous(column) for column in columns]  # kept while the table points to them
    program = np.ascontiguousarray(program, np.int32)
    rows = np.ascontiguousarray(rows, np.int64)
    first = np.zeros(0, np.int64) if first is None else np.ascontiguousarray(first, np.int64)
    of_table = _steps(table)
    columns_at = _column_table(spans, table)
    tables = *of_table.buffers, *map(whole, (columns_at, program, rows, first))
    offsets = scratch.array("render.offsets", len(rows) + 1, np.int64)
    offsets[0] = 0
    size = max(scratch.held("render.data"), FIRST_CAPACITY + OVERCOPY)
    target = scratch.array("render.data", size, np.uint8)
    j = at = 0
    while True:
        ended, j, at, detail = _render(*tables, encoding, whole(target), offsets, j, at)
        if ended == DONE:
            return Text(target[: at + PADDING], offsets)
        if ended != FULL:
            raise ValueError(_message(ended, int(rows[j]), detail, table, of_table.steps))
        # What the rows so far say about the rest, but at most four times: rows may be very unequal.
        expected = min(at * len(rows) // max(j, 1) * 17 // 16, 4 * len(target))
        before = target
        target = scratch.array("render.data", max(detail, expected) + OVERCOPY, np.uint8)
        target[:at] = before[:at]


def taken_from(scratch: Scratch, text: Text) -> Text:
    """A text that `render` has just written into a scratch, in memory of its own: the buffer where the text
    fills most of it, else a copy."""
    offsets = text.offsets.copy()
    size = int(offsets[-1]) + PADDING
    if size * 4 < scratch.held("render.data") * 3:
        return Text(text.data[:size].copy(), offsets)
    scratch.renew("render.data")
    return Text(text.data, offsets)


class _Steps:
    """A table as the kernel reads it; `buffers` are those of its arrays.

    steps: int64[s, STEP], a literal and the slot after it as one. starts: int64[k + 1], steps of program j
    are steps[starts[j]:starts[j+1]]. literals: a copy with BLOCK to spare, so that a short one is copied as
    a block.
    """

    def __init__(self, steps: np.ndarray, starts: np.ndarray, literals: np.ndarray) -> None:
        self.steps, self.starts, self.literals = steps, starts, literals
        self.buffers = whole(steps), whole(starts), whole(literals)


@lru_cache(maxsize=KEPT_TABLES)
def _steps(table: ProgramTable) -> _Steps:
    steps: list[list[int]] = []
    starts = [0]
    bounds = table.literal_offsets.tolist()
    for first, last in pairwise(table.program.tolist()):
        for operation, literal, column, element in table.part[first:last].tolist():
            slot = operation in (SLOT, RAW_SLOT)
            if slot and len(steps) > starts[-1] and steps[-1][OPERATION] == ALONE:
                steps[-1][OPERATION:] = _STEP_OF[operation], column, element
                continue
            begin, end = (0, 0) if slot else (bounds[literal], bounds[literal + 1])
            steps.append([begin, end - begin, _STEP_OF[operation], column, element])
        starts.append(len(steps))
    return _Steps(
        np.array(steps, np.int64).reshape(len(steps), STEP),
        np.array(starts, np.int64),
        np.concatenate([table.literals, np.zeros(BLOCK, np.uint8)]),
    )


def _column_table(spans: Sequence[tuple[np.ndarray, ...]], table: ProgramTable) -> np.ndarray:
    """Where the columns lie: int64[c, ITEMS], items in the order of DATA ... LEVEL."""
    rows = [
        (address(data), len(data), *map(address, (start, length, kind)), len(kind), level)
        for (data, start, length, kind), level in zip(spans, table.level.tolist(), strict=True)
    ]
    return np.array(rows, np.int64).reshape(len(rows), ITEMS)


def _message(ended: int, row: int, detail: int, table: ProgramTable, steps: np.ndarray) -> str:
    if ended == BAD_ROW:
        return f"row {row} is none of the rows that have a program"
    if ended == BAD_PROGRAM:
        return f"row {row} has program {detail} of {len(table)}"
    if ended == BAD_ELEMENT:
        column, element = steps[detail, COLUMN:]
        return f"row {row} has no message {element} in column {table.columns[column]!r}"
    return f"row {row}: value {detail} of a column lies outside its buffer or has an unknown kind"
