"""Running programs over columns. See layout.ProgramTable for the table and layout for the operations.

SLOT writes a value's text; AS_JSON writes the same text as a canonical JSON string body, so both encodings
always agree on the content. RAW_SLOT writes a JSON value in either encoding: a string keeps the spelling
of its body, any other value is compacted (see jsontext.compact), NULL is `null`, ABSENT is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I32, I64, ProgramTable, Spans, Text
from forge_gpu.kernels.reference import jsontext
from forge_gpu.kernels.scratch import Scratch

KEPT_TABLES = 64
"""Of so many tables it is known that they are good, and what kernels read instead of them."""


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
    """
    check_table(table, program, columns, encoding, first)
    return jsontext.text_of([_row(table, program, columns, int(r), encoding, first) for r in rows])


def check_table(
    table: ProgramTable, program: I32, columns: Sequence[Spans], encoding: int, first: I64 | None
) -> None:
    """Raise ValueError for what can be seen without a look at any row."""
    if encoding not in (layout.AS_TEXT, layout.AS_JSON):
        raise ValueError(f"encoding {encoding} is neither AS_TEXT nor AS_JSON")
    if len(columns) != len(table.columns) or len(columns) != len(table.level):
        raise ValueError(f"the programs read {len(table.columns)} columns, {len(columns)} were given")
    for name, level, column in zip(table.columns, table.level, columns, strict=True):
        if level and first is None:
            raise ValueError(f"column {name!r} is of message level, but `first` was not given")
        if not level and len(column) != len(program):
            raise ValueError(f"column {name!r} has {len(column)} values for {len(program)} rows")
    if first is not None and len(first) != len(program) + 1:
        raise ValueError(f"`first` has {len(first)} items for {len(program)} rows")
    _check_parts(table)


@lru_cache(maxsize=KEPT_TABLES)
def _check_parts(table: ProgramTable) -> None:
    starts, offsets = table.program, table.literal_offsets
    if len(starts) == 0 or starts[0] < 0 or (starts[1:] < starts[:-1]).any() or starts[-1] > len(table.part):
        raise ValueError("the program table does not divide its parts into programs")
    if (
        len(offsets) == 0
        or offsets[0] < 0
        or (offsets[1:] < offsets[:-1]).any()
        or offsets[-1] > len(table.literals)
    ):
        raise ValueError("the program table's literals lie outside their buffer")
    operation, literal, column, element = table.part.T
    known = (operation >= layout.LITERAL) & (operation <= layout.LITERAL_IF_PRESENT)
    writes_literal = (operation != layout.SLOT) & (operation != layout.RAW_SLOT)
    literal_known = (literal >= 0) & (literal < len(offsets) - 1)
    column_known = (column >= 0) & (column < len(table.columns)) & (element >= 0)
    good = known & (literal_known | ~writes_literal) & (column_known | (operation == layout.LITERAL))
    if not good.all():
        raise ValueError(
            f"part {int(good.argmin())} of the program table has an operation or index out of range"
        )


def _row(
    table: ProgramTable, program: I32, columns: Sequence[Spans], r: int, encoding: int, first: I64 | None
) -> bytes:
    if not 0 <= r < len(program):
        raise ValueError(f"row {r} is none of {len(program)} rows")
    if not -1 <= program[r] < len(table):
        raise ValueError(f"row {r} has program {program[r]} of {len(table)}")
    if program[r] < 0:
        return b""
    parts = table.part[table.program[program[r]] : table.program[program[r] + 1]]
    return b"".join(_part(table, part.tolist(), columns, r, encoding, first) for part in parts)


def _part(
    table: ProgramTable, part: list[int], columns: Sequence[Spans], r: int, encoding: int, first: I64 | None
) -> bytes:
    operation, literal, number, element = part
    if operation == layout.LITERAL:
        return _literal(table, literal)
    column, i = columns[number], r
    if table.level[number]:
        assert first is not None
        begin, end = int(first[r]), int(first[r + 1])
        i = begin + element
        if begin < 0 or i >= min(end, len(column)):
            raise ValueError(f"row {r} has no message {element} in column {table.columns[number]!r}")
    jsontext.check_span(column, i)
    kind = column.kind[i]
    if operation == layout.LITERAL_IF_PRESENT:
        return b"" if kind == layout.ABSENT else _literal(table, literal)
    if operation == layout.LITERAL_IF_TEXT:
        has_text = kind > layout.NULL and column.length[i] > 0
        return _literal(table, literal) if has_text else b""
    if operation == layout.RAW_SLOT:
        return value(column, i)
    return jsontext.plain(column, i) if encoding == layout.AS_TEXT else body(column, i)


def _literal(table: ProgramTable, literal: int) -> bytes:
    return table.literals[table.literal_offsets[literal] : table.literal_offsets[literal + 1]].tobytes()


def body(column: Spans, i: int) -> bytes:
    """The text of value `i` as a canonical JSON string body."""
    kind = column.kind[i]
    if kind in (layout.ABSENT, layout.NULL):
        return b""
    if kind in (layout.CLEAN, layout.CANONICAL):
        return column.raw(i)
    return jsontext.recode(column.raw(i)) if kind == layout.ESCAPED else jsontext.escape(column.raw(i))


def value(column: Spans, i: int) -> bytes:
    """Value `i` as JSON, spelled as the input spells it."""
    kind = column.kind[i]
    if kind == layout.ABSENT:
        return b""
    if kind == layout.NULL:
        return b"null"
    if kind == layout.JSON:
        return jsontext.compact(column.raw(i))
    spelled = jsontext.escape(column.raw(i)) if kind == layout.PLAIN else column.raw(i)
    return b'"' + spelled + b'"'
