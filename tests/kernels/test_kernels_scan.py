"""scan: the reference against json and orjson, the kernel against the reference."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forge_gpu.fates import Reason
from forge_gpu.kernels.cache import CHECKED
from forge_gpu.kernels.cpu import scan as cpu
from forge_gpu.kernels.layout import BODIES, CANONICAL, CLEAN, JSON, MAX_DEPTH, NULL, Records
from forge_gpu.kernels.reference import scan as reference
from forge_gpu.kernels.reference.jsontext import recode
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import at_page_edge, run_checked
from tests.kernels.json_texts import (
    ACCEPTED,
    BROKEN,
    EVERY,
    KEYS,
    LONE_SURROGATES,
    NOT_OBJECTS,
    NOT_UTF8,
    judged_by_json,
    records,
)

FORMS = ("lines", "array")
MANY = 1 << 40
SCRATCH = Scratch()


def rows(result: Records) -> list[tuple[object, ...]]:
    """Everything a scan says, row by row, with the bytes that its spans point at."""
    data = result.data.tobytes()
    return [
        (
            int(start),
            data[start : start + length],
            Reason(why),
            *((int(c.kind[i]), c.raw(i)) for c in result.columns.values()),
        )
        for i, (start, length, why) in enumerate(zip(result.start, result.length, result.reason, strict=True))
    ]


def check(data: bytes, form: str = "lines", keys: tuple[str, ...] = KEYS, limit: int = MANY) -> Records:
    """Scan with both and compare; the buffer ends at a page edge."""
    buffer = at_page_edge(data)
    expected = reference.scan_records(buffer, form, keys, limit)
    result = cpu.scan_records(buffer, form, keys, limit, SCRATCH)
    assert rows(result) == rows(expected)
    for key in keys:
        for one, other in zip(
            (result.columns[key].start, result.columns[key].length),
            (expected.columns[key].start, expected.columns[key].length),
            strict=True,
        ):
            assert one.dtype == np.int64 and np.array_equal(one, other)
    return expected


def scan(text: bytes, form: str = "lines", keys: tuple[str, ...] = KEYS, limit: int = MANY) -> Records:
    return reference.scan_records(np.frombuffer(text, np.uint8), form, keys, limit)


# The reference against others


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (ACCEPTED, Reason.NONE),
        (NOT_OBJECTS, Reason.NOT_AN_OBJECT),
        (LONE_SURROGATES, Reason.LONE_SURROGATE),
        (BROKEN, Reason.INVALID_JSON),
        (NOT_UTF8, Reason.INVALID_UTF8),
    ],
)
def test_reference_gives_the_reason(texts: list[bytes], reason: Reason) -> None:
    for text in texts:
        assert [row[2] for row in rows(scan(text))] == [reason], text
        assert judged_by_json(text.strip(b" \t\r")) == reason, text


@given(records())
@settings(deadline=None, max_examples=300)
def test_reference_agrees_with_json_and_orjson(text: bytes) -> None:
    result = scan(text.replace(b"\n", b" "))
    text = text.replace(b"\n", b" ").strip(b" \t\r")
    assert [Reason(why) for why in result.reason] == ([judged_by_json(text)] if text else [])
    if len(result) and result.reason[0] not in (Reason.NONE, Reason.NOT_AN_OBJECT):
        with pytest.raises(ValueError):
            orjson.loads(text)


@given(records(broken=False))
@settings(deadline=None, max_examples=200)
def test_reference_finds_the_values(text: bytes) -> None:
    value = json.loads(text)
    result = scan(text, form="array")
    if result.reason[0] != Reason.NONE:
        assert not isinstance(value, dict) or judged_by_json(text) == result.reason[0]
        return
    for key, column in result.columns.items():
        kind, raw = column.kind[0], column.raw(0)
        if kind in BODIES:
            assert json.loads(b'"%s"' % raw) == value[key] and (kind == CLEAN) == (b"\\" not in raw)
            assert kind != CANONICAL or raw == recode(raw)
        elif kind == JSON:
            assert json.loads(raw) == value[key] and raw == raw.strip()
        else:
            assert value.get(key) is None and (kind == NULL) == (key in value)


def test_reference_splits_lines() -> None:
    text = b'\n \t\r\n{"a":1}\r\n\r\n\r{"a":2} \t\n  {"a":3}\n\n"x"\n{"a":4}'
    assert [row[1] for row in rows(scan(text))] == [b'{"a":1}', b'{"a":2}', b'{"a":3}', b'"x"', b'{"a":4}']


def test_reference_splits_an_array() -> None:
    text = b'\n{"a":\n1} , {"a":"],["}\n,[1,{"b":2}],,{"a":[1}, "x] , 2]\t,{"a" 1}, {"a":3}, \n'
    assert [(row[1], row[2]) for row in rows(scan(text, "array"))] == [
        (b'{"a":\n1}', Reason.NONE),
        (b'{"a":"],["}', Reason.NONE),
        (b'[1,{"b":2}]', Reason.NOT_AN_OBJECT),
        (b"", Reason.INVALID_JSON),
        (b'{"a":[1}, "x] , 2]\t,{"a" 1}, {"a":3},', Reason.INVALID_JSON),
    ]


def test_reference_goes_on_after_a_broken_element() -> None:
    text = b'{"a" 1},[1},{"b":[1,2}},"\\"],",]],{"a":2}'
    assert [(row[1], row[2]) for row in rows(scan(text, "array"))] == [
        (b'{"a" 1}', Reason.INVALID_JSON),
        (b"[1}", Reason.INVALID_JSON),
        (b'{"b":[1,2}}', Reason.INVALID_JSON),
        (b'"\\"],"', Reason.NOT_AN_OBJECT),
        (b"]]", Reason.INVALID_JSON),
        (b'{"a":2}', Reason.NONE),
    ]


# The kernel against the reference


@pytest.mark.parametrize("form", FORMS)
def test_each_text_alone(form: str) -> None:
    for text in EVERY:
        check(text, form)


@pytest.mark.parametrize(("form", "between"), [("lines", b"\n"), ("lines", b"\r\n"), ("array", b" ,\n")])
def test_all_texts_in_a_row(form: str, between: bytes) -> None:
    result = check(between.join(EVERY), form)
    assert form == "array" or len(result) == len(EVERY)


@pytest.mark.parametrize("form", FORMS)
def test_every_truncation(form: str) -> None:
    head, tail = (
        '{"a": "x\\"\\u00e9\\ud83d\\ude00é", "b" : [1.5e-3, ',
        '{"c":null}, "]"], "text":-0.5, "\\u0061":true} ',
    )
    text = (head + tail).encode()
    for end in range(len(text) + 1):
        check(text[:end], form)
        check(b"\n" * 70 + text[:end] + b"\n" + text, form)


@pytest.mark.parametrize("escape", [b"\\n", b'\\"', b"\\\\", b"\\u0041", b"\\x", b"\\\x01", b"\x01"])
def test_escapes_at_every_place_of_a_block(escape: bytes) -> None:
    """Alone and after runs of backslashes, at every place of a block, before a quote or more text."""
    bodies = [
        b"a" * before + b"\\" * run + escape + after
        for before in range(66)
        for run in (0, 1, 2, 3, 63, 64, 65)
        for after in (b"", b"b" * 70)
    ]
    check(b"\n".join(b'{"a":"' + body + b'"}' for body in bodies))


def test_block_edges() -> None:
    """Quotes, escapes, pairs and letters of several bytes at every place around a block's edge."""
    for middle in ("", '\\"', "\\\\", "\\u00e9", "\\ud83d\\ude00", "é", "中", "😀", "\\ud83d", "\t"):
        lines = [f'{{"a":"{"x" * n}{middle}{"y" * (n % 67)}","b":"z"}}' for n in range(140)]
        check("\n".join(lines).encode())
        for line in lines[40:75]:
            check(line.encode())


@given(st.lists(records(), max_size=6), st.sampled_from(FORMS), st.binary(max_size=3), st.integers(0, 80))
@settings(deadline=None, max_examples=400)
@example([b'{"a":"x'], "array", b"", 0)
def test_random_records(texts: list[bytes], form: str, noise: bytes, limit: int) -> None:
    data = (b"\n" if form == "lines" else b",").join([*texts, noise])
    check(data, form)
    check(data, form, limit=limit)


@given(
    st.binary(max_size=200) | st.text('{}[]",:\\u0e1 \n', max_size=200).map(str.encode),
    st.sampled_from(FORMS),
)
@settings(deadline=None, max_examples=300)
def test_random_bytes(data: bytes, form: str) -> None:
    check(data, form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("brackets", ["[]", "{}", "[{"])
def test_deep_nesting(form: str, brackets: str) -> None:
    steps = {"[]": ("[", "]"), "{}": ('{"a":', "}"), "[{": ('[{"a":', "}]")}
    opening, closing = steps[brackets]
    for depth in (1, 2, MAX_DEPTH // 2 - 1, MAX_DEPTH // 2, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, 5000):
        inner = f'{{"b":{opening * depth}1{closing * depth}}}'
        result = check(inner.encode(), form, ("b",))
        levels = 1 + depth * (2 if brackets == "[{" else 1)
        assert result.reason[0] == (Reason.NONE if levels <= MAX_DEPTH else Reason.TOO_DEEP)
        check((opening * depth).encode(), form)
        check((opening * depth + "x" + closing * depth + ",{}").encode(), form)


@pytest.mark.parametrize("form", FORMS)
def test_row_too_long(form: str) -> None:
    text = b'{"a":"12345"}'
    assert [row[2] for row in rows(check(text, form, limit=len(text)))] == [Reason.NONE]
    assert [row[2] for row in rows(check(text, form, limit=len(text) - 1))] == [Reason.ROW_TOO_LONG]
    assert [row[2] for row in rows(check(b"\xff" * 9, form, limit=8))] == [Reason.ROW_TOO_LONG]


def test_long_line() -> None:
    size = 1 << 20 if CHECKED else 40 << 20
    head, tail = b'{"a":"', b'","b":1}\n{"a":2}'
    data = np.frombuffer(head + b"x" * size + tail, np.uint8)
    result = cpu.scan_records(data, "lines", ("a", "b"), MANY, SCRATCH)
    assert result.length.tolist() == [size + 14, 7] and result.columns["a"].length.tolist() == [size, 1]
    assert cpu.scan_records(data, "lines", ("a",), size, SCRATCH).reason.tolist() == [Reason.ROW_TOO_LONG, 0]


def test_rows_outgrow_the_arrays() -> None:
    """Short rows need far more room than a chunk of long ones; what was found before growing stays."""
    lines = [b'{"a":%d}' % n for n in range(3000)]
    data = np.frombuffer(b"\n".join([*lines, b'{"a":"' + b"x" * 9000 + b'"}', *lines]), np.uint8)
    for scratch in (None, Scratch(), SCRATCH):
        result = cpu.scan_records(data, "lines", ("a", "b"), MANY, scratch)
        assert rows(result) == rows(reference.scan_records(data, "lines", ("a", "b"), MANY))


def test_scratch_leaves_nothing_behind() -> None:
    scratch = Scratch()
    full = np.frombuffer(b'{"a":"x","b":"y"}\n' * 500, np.uint8)
    cpu.scan_records(full, "lines", ("a", "b"), MANY, scratch)
    held = scratch.held("scan.kind")
    result = cpu.scan_records(np.frombuffer(b"{}\n" * 400, np.uint8), "lines", ("a", "b"), MANY, scratch)
    assert not result.columns["a"].kind.any() and not result.columns["b"].start.any()
    assert scratch.held("scan.kind") == held


def test_buffers_of_all_sorts() -> None:
    text = b'{"a":"x"}\n{"b":[1]}\n'
    wide = np.zeros(2 * len(text), np.uint8)
    wide[::2] = np.frombuffer(text, np.uint8)
    inside = np.frombuffer(b"{" * 7 + text + b'"}', np.uint8)[7 : 7 + len(text)]
    expected = rows(scan(text))
    for data in (wide[::2], inside, inside.copy()):
        assert rows(cpu.scan_records(data, "lines", KEYS, MANY)) == expected
    assert rows(cpu.scan_records(np.zeros(0, np.uint8), "array", KEYS, MANY)) == []


def test_columns_as_asked() -> None:
    data = np.frombuffer(b'{"b":1,"a":2}', np.uint8)
    assert list(cpu.scan_records(data, "lines", ("b", "a", "b"), MANY).columns) == ["b", "a"]
    assert cpu.scan_records(data, "lines", (), MANY).columns == {}
    for module in (cpu, reference):
        with pytest.raises(ValueError, match="neither"):
            module.scan_records(data, "csv", (), MANY)


def test_checked() -> None:
    run_checked(__file__)


FIRST = b'{"a": "one", "unknown": "2", "b": "\\n", "c": 3, "d": "four"}'
"""An object with seams of every kind: see grammar.members_end."""


@pytest.mark.parametrize("names", [("a", "b", "c", "d"), ("d", "b", "a"), ("unknown",), ()])
@pytest.mark.parametrize("change", [b"", b" ", b",", b'"', b"}", b"{", b"x", b"\\", b"\xc3\xa9"])
def test_a_seam_that_is_not_as_before(names: tuple[str, ...], change: bytes) -> None:
    for at in range(len(FIRST)):
        for cut in (0, 1, 2):
            changed = FIRST[:at] + change + FIRST[at + cut :]
            check(
                b"\n".join([FIRST, changed, FIRST, b'{"a":"one","b":"two"}', changed, FIRST]), "lines", names
            )
