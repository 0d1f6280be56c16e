"""delimited: the reference against Python's csv, the kernel against the reference."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import delimited as cpu
from forge_gpu.kernels.reference import delimited as reference
from forge_gpu.kernels.reference.delimited import GOOD, MALFORMED, MISCOUNTED, Signs
from tests.kernels.adversarial import at_page_edge, run_checked

COMMA = Signs(ord(","))
DIALECTS = [
    COMMA,
    Signs(ord("\t"), reference.NONE),
    Signs(ord(";"), ord("'")),
    Signs(ord(","), ord('"'), ord("\\")),
    Signs(ord(","), blanks=1),
]
TEXTS = [
    b"", b"\n", b"a,b",
    b"a,b\n", b"a,b\r\nc,d\r\n", b"a\rb\r", b'"a,b",c\n', b'"a""b",c\n', b'"a\nb",c\nd,e\n',
    b'"a"b,c\nd,e\n', b'"a\nb"c,d\ne,f\n', b'"never', b'a,"never\nx,y\n', b'a,b,\n', b",\n,", b'a, "b"\n',
    b'"a\\"b",c\n', b"'a''b';c\n", b'"\\\\",c\n', b'a"b,c"d\n', b'"a" ,b\n', b'"","",\n',
    b'"a\\', b'""""', b'"a"',
]  # fmt: skip


def same(data: bytes, signs: Signs, columns: int, is_last: bool) -> reference.Split:
    block = at_page_edge(data)
    expected = reference.split_records(block, signs, columns, is_last)
    result = cpu.split_records(block, signs, columns, is_last)
    for one, other in zip(result, expected, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other)), (result, expected)
    for column in range(columns):
        arguments = (result.start[:, column], result.length[:, column], result.escaped[:, column], signs)
        for one, other in zip(
            cpu.unescaped(block, *arguments), reference.unescaped(block, *arguments), strict=True
        ):
            assert np.array_equal(np.asarray(one), np.asarray(other))
    return expected


@pytest.mark.parametrize("text", TEXTS)
def test_each_text(text: bytes) -> None:
    for signs in DIALECTS:
        for columns in (0, 1, 2):
            for is_last in (False, True):
                same(text, signs, columns, is_last)


def test_a_stray_quote_ends_with_its_line() -> None:
    result = same(b'1,"It is\n2,x\n3,"y" z\n4,w\n', COMMA, 2, True)
    assert result.status.tolist() == [MALFORMED, GOOD, MALFORMED, GOOD]
    assert same(b"a,b\nc\nd,e,f\n", COMMA, 2, True).status.tolist() == [GOOD, MISCOUNTED, MISCOUNTED]


def test_many_records() -> None:
    result = same(b"a,b\n" * 5000, COMMA, 2, False)
    assert len(result.status) == 5000 and result.used == 19999 + 1


_CELL = st.text(st.sampled_from("ab,;\"'\n\r\\ \té"), max_size=6)


@given(st.lists(st.lists(_CELL, min_size=2, max_size=2), max_size=5), st.sampled_from(("\n", "\r\n")))
@settings(deadline=None, max_examples=150)
def test_what_python_writes_is_read_back(rows: list[list[str]], end: str) -> None:
    sink = io.StringIO()
    csv.writer(sink, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    data = sink.getvalue().encode()
    result = same(data, COMMA, 2, True)
    assert result.status.tolist() == [GOOD] * len(rows)
    read = []
    for column in range(2):
        texts, offsets = reference.unescaped(
            np.frombuffer(data, np.uint8), result.start[:, column], result.length[:, column],
            result.escaped[:, column], COMMA,
        )  # fmt: skip
        read.append([texts[a:b].tobytes().decode() for a, b in pairwise(offsets.tolist())])
    assert [list(row) for row in zip(*read, strict=True)] == rows


@given(st.binary(max_size=60), st.sampled_from(DIALECTS), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_bytes(data: bytes, signs: Signs, is_last: bool) -> None:
    same(data, signs, 2, is_last)


@given(st.text(st.sampled_from('a,"\n\\'), max_size=30), st.sampled_from(DIALECTS), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_quotes(text: str, signs: Signs, is_last: bool) -> None:
    same(text.encode(), signs, 2, is_last)


def test_checked() -> None:
    run_checked(__file__)
