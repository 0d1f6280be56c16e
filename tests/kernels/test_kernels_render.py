"""render: programs over columns against the reference, str.format and JSON readers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import render as cpu
from forge_gpu.kernels.layout import (
    ABSENT,
    AS_JSON,
    AS_TEXT,
    BODIES,
    CANONICAL,
    CLEAN,
    ESCAPED,
    JSON,
    NULL,
    PLAIN,
    ProgramTable,
    Spans,
)
from forge_gpu.kernels.reference import render as reference
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.templates.program import (
    Literal,
    LiteralIfPresent,
    LiteralIfText,
    Part,
    Program,
    RawSlot,
    Slot,
    pack,
)
from tests.kernels.adversarial import column_of, rows_of, run_checked

SCRATCH = Scratch()
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
SPELLINGS = rb"""a " \\ \n \" \/ \u0041 \u001f \ud83d\ude00""".split()
PIECES = st.sampled_from([*SPELLINGS, b"\n", b"\n   ", b"\x00", b"x" * 64])
BYTES = st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=12).map(b"".join))
VALUE = st.tuples(st.sampled_from([ABSENT, NULL, PLAIN, *BODIES, JSON]), BYTES)


def spelled(text: str) -> st.SearchStrategy[tuple[int, bytes]]:
    """The ways in which a column can spell `text`."""
    escaped = json.dumps(text)[1:-1]
    body = json.dumps(text, ensure_ascii=False)[1:-1]
    render_paths = [(PLAIN, text.encode())]
    if "\\" in escaped:
        render_paths.append((ESCAPED, escaped.encode()))
    render_paths += [(kind, body.encode()) for kind in ((CANONICAL, ESCAPED) if "\\" in body else (CLEAN,))]
    return st.sampled_from(render_paths)


TEXT_AND_VALUE = UNICODE.flatmap(lambda text: st.tuples(st.just(text), spelled(text)))
TEMPLATES = ["{a}", "{b}{a}", '<|im_start|>user\n{a}<|im_end|>\n"{b}"\\\t', "é{a}{{}}\u2028{a}{b}"]


def program_of(template: str, encoding: int) -> Program:
    """A format string as a program, by cutting at its fields."""

    def literal(text: str) -> Literal:
        text = text.replace("{{", "{").replace("}}", "}")
        return Literal((json.dumps(text, ensure_ascii=False)[1:-1] if encoding == AS_JSON else text).encode())

    parts: list[Part] = []
    for k, piece in enumerate(template.replace("{a}", "\0a\0").replace("{b}", "\0b\0").split("\0")):
        parts.append(Slot(piece) if k % 2 else literal(piece))
    return tuple(parts)


@given(
    template=st.sampled_from(TEMPLATES), rows=st.lists(st.tuples(TEXT_AND_VALUE, TEXT_AND_VALUE), max_size=6)
)
@settings(deadline=None, max_examples=150)
def test_a_format_string_gives_what_str_format_gives(template: str, rows: list) -> None:
    expected = [template.format(a=a[0], b=b[0]) for a, b in rows]
    columns = {"a": column_of([a[1] for a, _ in rows]), "b": column_of([b[1] for _, b in rows])}
    for encoding in (AS_TEXT, AS_JSON):
        table = pack([program_of(template, encoding)])
        text = cpu.render(
            table,
            np.zeros(len(rows), np.int32),
            [columns[name] for name in table.columns],
            np.arange(len(rows)),
            encoding,
            None,
            SCRATCH,
        )
        if encoding == AS_TEXT:
            assert [row.decode() for row in rows_of(text)] == expected
        else:
            bodies = rows_of(text)
            assert bodies == [json.dumps(text, ensure_ascii=False)[1:-1].encode() for text in expected]
            assert [orjson.loads(b'"' + body + b'"') for body in bodies] == expected


@st.composite
def parts(draw: st.DrawFn) -> Part:
    column = draw(st.sampled_from(["row0", "row1", "message"]))
    element = draw(st.integers(0, 1)) if column == "message" else 0
    literal = draw(st.sampled_from([b"", b"x", b"literal " * 9]))
    kind = draw(st.sampled_from([Literal, Slot, LiteralIfText, RawSlot, LiteralIfPresent]))
    if kind is Literal:
        return Literal(literal)
    return kind(column, element) if kind in (Slot, RawSlot) else kind(literal, column, element)


@st.composite
def jobs(draw: st.DrawFn) -> tuple:
    """Programs, columns of row and message level, the program of each row, and rows in any order."""
    programs = [tuple(draw(st.lists(parts(), max_size=6))) for _ in range(draw(st.integers(1, 3)))]
    n = draw(st.integers(0, 5))
    counts = [draw(st.integers(2, 4)) for _ in range(n)]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    between = draw(st.sampled_from([b"", b"u0041\\"]))
    columns = {
        "row0": column_of([draw(VALUE) for _ in range(n)], between=between),
        "row1": column_of([draw(VALUE) for _ in range(n)], before=b"\\"),
        "message": column_of([draw(VALUE) for _ in range(sum(counts))], between=between),
    }
    program = np.array([draw(st.integers(-1, len(programs) - 1)) for _ in range(n)], np.int32)
    rows = np.array(draw(st.lists(st.integers(0, n - 1), max_size=8)) if n else [], np.int64)
    return programs, columns, program, rows, first


@given(job=jobs(), encoding=st.sampled_from([AS_TEXT, AS_JSON]))
@settings(deadline=None, max_examples=250)
def test_programs_equal_the_reference(job: tuple, encoding: int) -> None:
    programs, columns, program, rows, first = job
    table = pack(programs, ["message"])
    given_columns = [columns[name] for name in table.columns]
    expected = reference.render(table, program, given_columns, rows, encoding, first, SCRATCH)
    text = cpu.render(table, program, given_columns, rows, encoding, first, SCRATCH)
    assert rows_of(text) == rows_of(expected)


def test_raw_slots_keep_the_spelling() -> None:
    values = [
        (CLEAN, b"a"),
        (ESCAPED, b"\\/\\u0041"),
        (PLAIN, b'"\n'),
        (JSON, b'[1E5,\r\n  {"a" : 1e400}]'),
        (NULL, b""),
        (ABSENT, b""),
    ]
    expected = [b'"a"', b'"\\/\\u0041"', b'"\\"\\n"', b'[1E5,{"a" : 1e400}]', b"null", b""]
    for encoding in (AS_TEXT, AS_JSON):
        text = cpu.render(
            pack([(RawSlot("v"),)]),
            np.zeros(6, np.int32),
            [column_of(values)],
            np.arange(6),
            encoding,
            None,
            SCRATCH,
        )
        assert rows_of(text) == expected


@pytest.mark.parametrize("kind", [PLAIN, *BODIES, JSON])
@pytest.mark.parametrize("filler", [b"a", b"\x01", b"\n", b'"', b"\\u0041"])
def test_the_output_grows_and_what_was_written_stays(kind: int, filler: bytes) -> None:
    sizes = [0, 1, 20_000, 50_000, 3, 90_000, 64, 5]
    column = column_of([(kind, (filler * size)[:size]) for size in sizes])
    table = pack([(Literal(b"<"), Slot("v"), Literal(b">" * 100), RawSlot("v"))])
    program, rows = np.zeros(len(sizes), np.int32), np.arange(len(sizes))
    fresh = Scratch()
    for encoding in (AS_TEXT, AS_JSON):
        expected = reference.render(table, program, [column], rows, encoding, None, fresh)
        for scratch in (fresh, Scratch()):
            assert rows_of(cpu.render(table, program, [column], rows, encoding, None, scratch)) == rows_of(
                expected
            )


def test_a_buffer_is_not_sized_for_the_worst_case() -> None:
    column = column_of([(PLAIN, b"plain text " * 100_000)])
    scratch = Scratch()
    cpu.render(pack([(Slot("v"),)]), np.zeros(1, np.int32), [column], np.arange(1), AS_JSON, None, scratch)
    assert scratch.nbytes < 1.5 * len(column.data)


def test_a_long_literal_and_many_rows() -> None:
    literal = bytes(range(256)) * 4000
    table = pack([(Literal(literal),), (Slot("v"),)])
    column = column_of([(CLEAN, b"v")] * 3)
    text = cpu.render(
        table, np.array([1, 0, -1], np.int32), [column], np.array([2, 1, 0, 1]), AS_TEXT, None, Scratch()
    )
    assert rows_of(text) == [b"", literal, b"v", literal]


SIZES = (0, 1, 63, 64, 65, 127, 255, 256, 257, 511, 4095, 4096, 4097, 9000)
"""About the steps in which a kernel copies."""


@pytest.mark.parametrize("kind", [PLAIN, *BODIES, JSON])
def test_sizes_about_the_steps_of_a_copy(kind: int) -> None:
    filler = bytes(range(97, 122))
    column = column_of([(kind, (filler * size)[:size]) for size in (*SIZES, *reversed(SIZES))])
    programs: list[Program] = [
        (Literal(b"<" * size), Slot("v"), Literal(b"|"), Literal(b">" * size), RawSlot("v"))
        for size in SIZES[:9]
    ]
    programs += [(Slot("v"), Literal(b"-"), LiteralIfText(b"+" * 65, "v"), Slot("v"))]
    table = pack(programs)
    program = np.repeat(np.arange(len(programs), dtype=np.int32), len(column))
    repeated = Spans(
        column.data,
        np.tile(column.start, len(programs)),
        np.tile(column.length, len(programs)),
        np.tile(column.kind, len(programs)),
    )
    rows = np.arange(len(program))
    for encoding in (AS_TEXT, AS_JSON):
        arguments = table, program, [repeated], rows, encoding, None, Scratch()
        assert rows_of(cpu.render(*arguments)) == rows_of(reference.render(*arguments))


def good() -> dict:
    """The arguments of a render of two rows of two messages each."""
    return {
        "table": pack([(Literal(b"l"), Slot("row"), Slot("message", 1))], ["message"]),
        "program": np.zeros(2, np.int32),
        "columns": [column_of([(CLEAN, b"ab")] * 2), column_of([(CLEAN, b"m")] * 4)],
        "rows": np.arange(2),
        "encoding": AS_TEXT,
        "first": np.array([0, 2, 4]),
    }


def with_part(values: list[int]) -> ProgramTable:
    table = good()["table"]
    table.part[-1] = values
    return table


def spans(start: list[int], length: list[int], kind: list[int]) -> list[Spans]:
    column = Spans(good()["columns"][0].data, np.array(start), np.array(length), np.array(kind, np.uint8))
    return [column, good()["columns"][1]]


BAD: dict[str, dict[str, Any]] = {
    "a row that is none": {"rows": np.array([0, 2])},
    "a negative row": {"rows": np.array([-1])},
    "a huge row": {"rows": np.array([2**62])},
    "a program that is none": {"program": np.array([0, 1], np.int32)},
    "a program below -1": {"program": np.array([-2, 0], np.int32)},
    "an element past its row": {"first": np.array([0, 1, 4])},
    "an element past its column": {"first": np.array([0, 3, 5])},
    "a negative first": {"first": np.array([-5, 3, 4])},
    "a huge first": {"first": np.array([2**62, 2**62 + 4, 2**62 + 8])},
    "a first that overflows": {"first": np.array([2**63 - 1, 0, 0])},
    "no first": {"first": None},
    "a short first": {"first": np.array([0, 2])},
    "too few columns": {"columns": good()["columns"][:1]},
    "a short column": {"columns": [column_of([(CLEAN, b"a")]), good()["columns"][1]]},
    "an unknown encoding": {"encoding": 2},
    "an unknown operation": {"table": with_part([5, 0, 0, 0])},
    "a column out of range": {"table": with_part([1, -1, 2, 0])},
    "a literal out of range": {"table": with_part([0, 1, -1, 0])},
    "a negative literal": {"table": with_part([2, -1, 0, 0])},
    "a negative element": {"table": with_part([1, -1, 1, -1])},
    "a span past its buffer": {"columns": spans([0, 3], [2, 2], [3, 3])},
    "a span of huge length": {"columns": spans([0, 1], [2, 2**63 - 1], [3, 3])},
    "a span before its buffer": {"columns": spans([0, -1], [2, 2], [3, 3])},
    "an unknown kind": {"columns": spans([0, 0], [2, 2], [3, 9])},
}


@pytest.mark.parametrize("module", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("fault", BAD)
def test_what_points_outside_is_refused(module: Any, fault: str) -> None:
    assert rows_of(module.render(**good(), scratch=SCRATCH)) == [b"labm"] * 2
    with pytest.raises(ValueError):
        module.render(**{**good(), **BAD[fault]}, scratch=SCRATCH)


def test_arrays_of_other_types_and_strides() -> None:
    arguments = good()
    arguments["rows"] = np.arange(4, dtype=np.int32)[::2] // 2
    arguments["first"] = np.array([0, 9, 2, 9, 4])[::2]
    arguments["program"] = np.zeros(4, np.int64)[::2]
    assert rows_of(cpu.render(**arguments, scratch=SCRATCH)) == [b"labm"] * 2


def test_programs_in_checked_mode() -> None:
    run_checked(__file__)
