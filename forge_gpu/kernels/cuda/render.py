"""Running programs over columns (see reference/render.py): count pieces, describe them, write them.

A thread a row counts the pieces of its program and describes each; no byte of text is read for that but the
few around the ends of blocks. Measuring and writing go by pieces and bytes (see pieces). Bytes moved: 2 x the
output; 17 a slot, 16 a part and 28 a row, twice; 32 a piece.
"""

from collections.abc import Sequence

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda import jsontext, pieces
from forge_gpu.kernels.cuda.device import Device, function, kernel, offsets_of, places_there, scalar
from forge_gpu.kernels.cuda.jsontext import BLOCK
from forge_gpu.kernels.cuda.memory import thread
from forge_gpu.kernels.layout import (
    ABSENT,
    AS_TEXT,
    CANONICAL,
    ESCAPED,
    I32,
    I64,
    JSON,
    LITERAL,
    LITERAL_IF_PRESENT,
    LITERAL_IF_TEXT,
    NULL,
    PLAIN,
    RAW_SLOT,
    SLOT,
    ProgramTable,
    Spans,
    Text,
)
from forge_gpu.kernels.reference import render as reference
from forge_gpu.kernels.reference.render import check_table
from forge_gpu.kernels.scratch import Scratch

# Items of a column's row in the column table.
DATA, SIZE, AT, COUNT, LEVEL = range(5)

NOTHING = -1
"""Beside the works of jsontext: a span that writes no byte."""

QUOTE_AND_NULL = b'"null'
"""Stands behind the literals in the window."""


@function
def _work(encoding, raw, kind):
    """What is done with a span of `kind` (NULL of a raw slot apart)."""
    if kind <= NULL:
        return NOTHING
    if raw:
        if kind == PLAIN:
            return jsontext.ESCAPE
        return jsontext.COMPACT if kind == JSON else jsontext.COPY
    if encoding == AS_TEXT:
        return jsontext.UNESCAPE if kind == CANONICAL or kind == ESCAPED else jsontext.COPY
    if kind in (PLAIN, JSON):
        return jsontext.ESCAPE
    return jsontext.RECODE if kind == ESCAPED else jsontext.COPY


@function
def _blocks(work, count):
    """Pieces of a span."""
    return (count + BLOCK - 1) // BLOCK if work > jsontext.COPY else np.int64(1)


@function
def _value(column, c, first, r, element):
    """Which value of column c row r has, as an index into the values of all columns; -1 where it has none."""
    count = column[c, COUNT]
    i = r
    if column[c, LEVEL] != 0:
        begin = first[r]
        if begin < 0 or begin >= count:  # before the sum: it must not overflow
            return np.int64(-1)
        i = begin + element
        if i >= first[r + 1] or i >= count:
            return np.int64(-1)
    return column[c, AT] + i


@kernel
def count(part, starts, column, start, length, kind, program, rows, first, encoding, counts, fault):
    """counts[j] = pieces of row rows[j], a thread a row; fault[0] = the smallest j that is out of range.

    part: int64[p, 4]; starts: int64[k + 1]; column: int64[c, 5]; start, length: int64[v] and kind: uint8[v],
    the values of all columns in turn; program: int32[n]; rows: int64[m]; first: int64[n + 1].
    """
    j = thread()
    if j >= len(rows):
        return
    r = rows[j]
    if r < 0 or r >= len(program) or program[r] < -1 or program[r] >= len(starts) - 1:
        cuda.atomic.min(fault, 0, j)
        return
    total = np.int64(0)
    if program[r] >= 0:
        for p in range(starts[program[r]], starts[program[r] + 1]):
            operation = part[p, 0]
            if operation != LITERAL:
                c = part[p, 2]
                v = _value(column, c, first, r, part[p, 3])
                if v < 0:
                    cuda.atomic.min(fault, 0, j)
                    return
                size = column[c, SIZE]
                bad = start[v] < 0 or length[v] < 0 or length[v] > size or start[v] > size - length[v]
                if bad or kind[v] > JSON:
                    cuda.atomic.min(fault, 0, j)
                    return
                if operation in (SLOT, RAW_SLOT):
                    raw = operation == RAW_SLOT
                    total += _blocks(_work(encoding, raw, kind[v]), length[v])
                    total += 2 if raw else 0
                    continue
            total += 1
    counts[j] = total


@function
def _put(source, size, at, address, count):
    source[at] = address
    size[at] = count


@kernel
def describe(
    memory, literals, bounds, part, starts, column, start, length, kind, program, rows, first, encoding,
    piece_first, source, size,
):  # fmt: skip
    """source[...], size[...] of the pieces of row rows[j], from piece_first[j] on; a thread a row.

    literals: where they start in the window; bounds: int64[l + 1], where each starts among them.
    """
    j = thread()
    if j >= len(rows):
        return
    r = rows[j]
    if program[r] < 0:
        return
    at = piece_first[j]
    constants = literals + bounds[len(bounds) - 1]
    for p in range(starts[program[r]], starts[program[r] + 1]):
        operation = part[p, 0]
        c = part[p, 2]
        v = _value(column, c, first, r, part[p, 3]) if operation != LITERAL else np.int64(0)
        if operation in (SLOT, RAW_SLOT):
            raw = operation == RAW_SLOT
            quoted = np.int64(1 if raw and kind[v] >= PLAIN and kind[v] <= ESCAPED else 0)
            if raw:
                _put(source, size, at, constants, quoted)
                at += 1
            work = _work(encoding, raw, kind[v])
            begin = column[c, DATA] + start[v]
            if work == NOTHING:
                _put(source, size, at, constants + 1, np.int64(4 if raw and kind[v] == NULL else 0))
                at += 1
            elif work == jsontext.COPY:
                _put(source, size, at, begin, length[v])
                at += 1
            else:
                end = begin + length[v]
                required = begin
                for _ in range(_blocks(work, length[v])):
                    required = min(required + BLOCK, end)
                    stop, following = jsontext.cut(work, memory, begin, required, end)
                    _put(source, size, at, pieces.piece(work, begin, stop - begin), np.int64(0))
                    begin = following
                    at += 1
            if raw:
                _put(source, size, at, constants, quoted)
                at += 1
            continue
        written = operation == LITERAL
        if operation == LITERAL_IF_PRESENT:
            written = kind[v] != ABSENT
        elif operation == LITERAL_IF_TEXT:
            written = kind[v] > NULL and length[v] > 0
        number = part[p, 1]
        _put(
            source,
            size,
            at,
            literals + bounds[number],
            bounds[number + 1] - bounds[number] if written else np.int64(0),
        )
        at += 1


def render(
    table: ProgramTable,
    program: I32,
    columns: Sequence[Spans],
    rows: I64,
    encoding: int,
    first: I64 | None,
    device: Device,
) -> Text:
    """Run program[r] for each r of `rows`, in their order; program -1 writes nothing.

    As kernels.reference.render.render, but for the last argument; the spans' bytes may be on the host or the
    device, all else is on the host, and the text is on the device. Raises ValueError as that does.
    """
    check_table(table, program, columns, encoding, first)
    end = int(table.literal_offsets[-1])
    literals = np.concatenate([table.literals[:end], np.frombuffer(QUOTE_AND_NULL, np.uint8)])
    memory, words, bases = device.window([literals, *(column.data for column in columns)])
    tables = _on_device(table, program, columns, rows, first, bases[1:], device)
    fault = device.upload(np.array([len(rows)], np.int64))
    counts = device.xp.zeros(len(rows), np.int64)
    device.launch(count, len(rows), *tables, encoding, counts, fault)
    bad = scalar(device, fault, 0)
    if bad < len(rows):
        reference.render(table, program, columns, np.asarray(rows)[bad : bad + 1], encoding, first, Scratch())
        raise AssertionError(f"the device refuses row {int(rows[bad])}, the reference does not")
    piece_first = offsets_of(device, counts)
    total = scalar(device, piece_first, -1)
    source = device.xp.empty(total, np.int64)
    size = device.xp.empty(total, np.int64)
    bounds = device.upload(table.literal_offsets.astype(np.int64))
    device.launch(describe, len(rows), memory, bases[0], bounds, *tables, encoding, piece_first, source, size)
    return pieces.write_all(memory, words, source, size, piece_first, device)


def _on_device(
    table: ProgramTable,
    program: I32,
    columns: Sequence[Spans],
    rows: I64,
    first: I64 | None,
    bases: Sequence[int],
    device: Device,
) -> tuple:
    """(part, starts, column, start, length, kind, program, rows, first), as the kernels take them."""
    items = np.zeros((max(len(columns), 1), 5), np.int64)
    values = 0
    for c, (column, base) in enumerate(zip(columns, bases, strict=True)):
        n = len(column.kind)
        if len(column.start) != n or len(column.length) != n:
            raise ValueError(
                f"a column has {len(column.start)} starts, {len(column.length)} lengths, {n} kinds"
            )
        items[c] = base, len(column.data), values, n, table.level[c]
        values += n
    first = np.zeros(1, np.int64) if first is None else first
    tables = (table.part.astype(np.int64).reshape(-1, 4), table.program.astype(np.int64), items)
    of_rows = (
        np.asarray(program).astype(np.int32),
        np.asarray(rows).astype(np.int64),
        np.asarray(first).astype(np.int64),
    )
    uploaded = [device.upload(np.ascontiguousarray(array)) for array in (*tables, *of_rows)]
    return (*uploaded[:3], *values_there(columns, device), *uploaded[3:])


def values_there(columns: Sequence[Spans], device: Device) -> list:
    """start, length and kind of the values of all columns in turn, on the device; only those that are not
    there yet go up."""
    of_columns = [places_there(column, device) for column in columns]
    if len(of_columns) == 1:
        return list(of_columns[0])
    if not of_columns:
        return [device.xp.zeros(0, kind) for kind in (np.int64, np.int64, np.uint8)]
    return [device.xp.concatenate(arrays) for arrays in zip(*of_columns, strict=True)]


_TEXT = np.array([[SLOT, -1, 0, 0]], np.int32)


def decode(column: Spans, device: Device) -> Text:
    """The UTF-8 of each value (see reference/jsontext.decode): a program of one slot. Raises ValueError."""
    n = len(column.kind)
    table = ProgramTable(
        _TEXT,
        np.array([0, 1], np.int32),
        np.zeros(0, np.uint8),
        np.zeros(1, np.int64),
        ("text",),
        np.zeros(1, np.uint8),
    )
    return render(table, np.zeros(n, np.int32), [column], np.arange(n), AS_TEXT, None, device)
