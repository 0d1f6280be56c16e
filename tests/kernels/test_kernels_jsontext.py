"""jsontext: decode and the inner kernels against the reference, json and orjson."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.compiled import LIBRARY, kernel
from forge_gpu.kernels.cpu import jsontext as cpu
from forge_gpu.kernels.cpu.memory import whole
from forge_gpu.kernels.layout import ABSENT, BODIES, JSON, NULL, PADDING, PLAIN, Spans
from forge_gpu.kernels.reference import jsontext as reference
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import at_page_edge, column_of, rows_of, run_again, run_checked

SCRATCH = Scratch()
EVERY_ESCAPE = rb"\"\\\/\b\f\n\r\t\u0000\u001f\u007f\u0041\u00E9\u20ac\ud83d\ude00\uFFFF"
BROKEN = [
    *rb"\q \u12 \ud800 \ud800\u0041 \udc00 \ud83d\ud83d\ude00 \ud83d\u \uxyzw".split(),
    b"\\",
    b"\\\x80",
]
INNER = ("escape", "unescape", "recode", "compact")
CALLABLE = (
    {name: kernel(getattr(cpu, name).py_func) for name in (*INNER, "escaped_size")} if LIBRARY is None else {}
)
compiled = pytest.mark.skipif(
    not CALLABLE, reason="they are a part of others; the process below has them apart"
)
SPELLINGS = rb"""a / u " \ \\ \n \" \/ \u0041 \u000a \u00e9 \ud83d\ude00 \ud83d""".split()
RAW = [b"\n", b"\r\n   ", b"\x00", b"\x1f", b"\x7f", "é\u2028😀".encode(), b"\xff", b"x" * 63, b"y" * 64]
PIECES = st.sampled_from([*SPELLINGS, *RAW])
BYTES = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=40).map(b"".join))
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def inner(name: str, value: bytes, tail: bytes = b"") -> bytes:
    """What an inner kernel writes for `value`, followed by `tail` in the same buffer."""
    source = at_page_edge(value + tail)
    target = np.full(6 * len(value) + PADDING, 0xAA, np.uint8)
    end = CALLABLE[name](whole(target), 0, whole(source), 0, len(value))
    return target[:end].tobytes()


@compiled
@pytest.mark.parametrize("name", INNER)
@given(value=BYTES, tail=st.sampled_from([b"", b"u", b"\\", b"u0041" + b"z" * 64]))
@settings(deadline=None, max_examples=150)
def test_inner_kernels_equal_the_reference(name: str, value: bytes, tail: bytes) -> None:
    assert inner(name, value, tail) == getattr(reference, name)(value)


@compiled
@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize(
    "piece", [b"\\n", b"\\/", b"\\u0041", b"\\ud83d\\ude00", b"\\\\", b'"', b"\x01", b"\n  ", *BROKEN]
)
def test_every_position_of_a_block(name: str, piece: bytes) -> None:
    for before in range(0, 131):
        for after in (0, 1, 63, 64, 70):
            value = b"a" * before + piece + b"b" * after
            assert inner(name, value) == getattr(reference, name)(value), (before, after)


@compiled
@pytest.mark.parametrize("body", [EVERY_ESCAPE, *BROKEN, b"", b"\x00", b"\\" * 64, b"\\" * 65, b"\\u" * 40])
def test_bodies_truncated_anywhere(body: bytes) -> None:
    for end in range(len(body) + 1):
        for name in ("unescape", "recode"):
            assert inner(name, body[:end], body[end:]) == getattr(reference, name)(body[:end])


@compiled
@given(text=UNICODE)
@settings(deadline=None, max_examples=200)
def test_canonical_body_is_what_json_writes(text: str) -> None:
    body = inner("escape", text.encode())
    assert body == json.dumps(text, ensure_ascii=False)[1:-1].encode()
    assert orjson.loads(b'"' + body + b'"') == text
    assert inner("unescape", body).decode() == text
    for spelled in (json.dumps(text)[1:-1].encode(), body, body.replace(b"/", b"\\/")):
        assert inner("recode", spelled) == body
        assert inner("unescape", spelled).decode() == text
    plain = at_page_edge(text.encode())
    assert CALLABLE["escaped_size"](whole(plain), 0, len(plain)) == len(body)


@compiled
@given(
    value=st.recursive(
        UNICODE | st.integers() | st.none(),
        lambda inside: st.lists(inside) | st.dictionaries(UNICODE, inside),
    )
)
@settings(deadline=None, max_examples=60)
def test_compact_keeps_the_value_on_one_line(value: object) -> None:
    spelled = json.dumps(value, indent=3).replace("\n", "\r\n").encode()
    line = inner("compact", spelled)
    assert b"\n" not in line and b"\r" not in line
    assert json.loads(line) == value


VALUES = st.lists(st.tuples(st.sampled_from([ABSENT, NULL, PLAIN, *BODIES, JSON]), BYTES), max_size=20)


@given(values=VALUES, before=st.binary(max_size=70), between=st.sampled_from([b"", b"\\", b"u0000"]))
@settings(deadline=None, max_examples=150)
def test_decode_equals_the_reference(values: list[tuple[int, bytes]], before: bytes, between: bytes) -> None:
    column = column_of(values, before, between)
    text = cpu.decode(column, SCRATCH)
    assert rows_of(text) == rows_of(reference.decode(column, SCRATCH))
    assert len(text.data) >= text.offsets[-1] + PADDING


def test_decode_of_nothing_and_of_slices() -> None:
    assert rows_of(cpu.decode(column_of([]), SCRATCH)) == []
    whole_column = column_of([(PLAIN, b"%d" % i) for i in range(50)], between=b",")
    for cut in (slice(3, 9), slice(None, None, 7), slice(None, None, -1)):
        part = Spans(
            whole_column.data, whole_column.start[cut], whole_column.length[cut], whole_column.kind[cut]
        )
        assert rows_of(cpu.decode(part, SCRATCH)) == [b"%d" % i for i in range(50)][cut]


@pytest.mark.parametrize(
    ("start", "length", "kind"),
    [
        (-1, 1, 2),
        (0, 4, 2),
        (4, 1, 2),
        (1, -1, 2),
        (2**62, 2**62, 2),
        (1, 2**63 - 1, 4),
        (-(2**63), 0, 3),
        (0, 1, JSON + 1),
    ],
)
def test_a_span_outside_its_buffer_is_refused(start: int, length: int, kind: int) -> None:
    column = Spans(
        at_page_edge(b"abc"), np.array([0, start]), np.array([1, length]), np.array([PLAIN, kind], np.uint8)
    )
    for module in (cpu, reference):
        with pytest.raises(ValueError, match="value 1 of a column"):
            module.decode(column, SCRATCH)


def test_arrays_of_unequal_length_are_refused() -> None:
    column = Spans(at_page_edge(b"abc"), np.zeros(1, np.int64), np.zeros(2, np.int64), np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="1 starts, 2 lengths, 2 kinds"):
        cpu.decode(column, SCRATCH)


def test_each_inner_kernel_apart() -> None:
    run_again(__file__, "not apart and not checked", FORGE_KERNELS="jit")


def test_decode_runs_in_checked_mode() -> None:
    run_checked(__file__)
