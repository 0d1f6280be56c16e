"""Arrow columns as spans: the same bytes, and the JSON text of what is not a text."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.io.checked import check_array
from forge_gpu.io.columns import arrow_spans, source_json
from forge_gpu.io.to_arrow import text_to_arrow
from forge_gpu.io.weights import text_bytes
from forge_gpu.kernels.layout import JSON, NULL, PADDING, PLAIN, Spans, Text

TEXT_TYPES = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string()),
]  # fmt: skip


def values(spans: Spans) -> list[Any]:
    """What a span column holds: None, text, or ("json", value)."""

    def value(i: int) -> Any:
        if spans.kind[i] == NULL:
            return None
        raw = spans.raw(i)
        return raw.decode() if spans.kind[i] == PLAIN else ("json", json.loads(raw, parse_float=str))

    return [value(i) for i in range(len(spans))]


texts = st.lists(st.none() | st.text(max_size=30), max_size=20)


@settings(deadline=None, max_examples=80)
@given(texts, st.sampled_from(TEXT_TYPES), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_texts(rows: list[str | None], kind: pa.DataType, left: int, right: int, chunked: bool) -> None:
    array = pa.array(rows, pa.string()).cast(kind.value_type if pa.types.is_dictionary(kind) else kind)
    if pa.types.is_dictionary(kind):
        array = array.dictionary_encode().cast(kind)
    column = pa.chunked_array([array, array], kind) if chunked else array
    rows = rows * 2 if chunked else rows
    end = max(left, len(rows) - right)
    assert values(arrow_spans(column.slice(left, end - left))) == rows[left:end]


def test_texts_are_not_copied() -> None:
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        array = pa.array(["a", "bc", None, "déf"], kind)
        spans = arrow_spans(array.slice(1))
        assert spans.data.ctypes.data == array.buffers()[2].address


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([], pa.string()), []),
        (pa.nulls(2), [None, None]),
        (pa.array([1, None, -(2**63)]), ["1", None, "-9223372036854775808"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (
            pa.array([1.0, 0.1, 1.5e300, None, math.nan, math.inf]),
            ["1.0", "0.1", "1.5e+300", None, None, None],
        ),
        (pa.array([0.1, 16777216.0], pa.float32()), ["0.1", "16777216.0"]),
        (pa.array([0.5], pa.float16()), ["0.5"]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), ["1.50", None]),
        (pa.array([Decimal(10**40)], pa.decimal256(50, 0)), [str(10**40)]),
        (pa.array([datetime.timedelta(seconds=2)], pa.duration("s")), ["2"]),
    ],
)
def test_numbers(array: pa.Array, expected: list[str | None]) -> None:
    spans = arrow_spans(array)
    assert [spans.raw(i).decode() if spans.kind[i] == JSON else None for i in range(len(spans))] == expected
    assert all(kind in (JSON, NULL) for kind in spans.kind.tolist())


def test_dates_are_text() -> None:
    moment = datetime.datetime(2024, 2, 3, 4, 5, 6)
    assert values(arrow_spans(pa.array([moment.date(), None]))) == ["2024-02-03", None]
    assert values(arrow_spans(pa.array([moment], pa.timestamp("s")))) == ["2024-02-03T04:05:06"]
    assert values(arrow_spans(pa.array([moment], pa.timestamp("ms", "UTC")))) == ["2024-02-03T04:05:06.000Z"]
    assert values(arrow_spans(pa.array([datetime.time(1, 2, 3)]))) == ["01:02:03.000000"]


MESSAGE = pa.struct(
    {"role": pa.string(), "content": pa.string(), "tool_calls": pa.list_(pa.string()), "w": pa.int8()}
)


def test_messages_are_not_widened_with_nulls() -> None:
    rows = [
        [
            {"role": "user", "content": 'a "b"\n\\ \x01é'},
            {"role": "assistant", "content": None, "tool_calls": ["x"]},
        ],
        None,
        [],
        [{"role": "user", "content": "", "w": 1}],
    ]
    spans = arrow_spans(pa.array(rows, pa.list_(MESSAGE)))
    assert [spans.raw(i).decode() for i in (0, 2, 3)] == [
        '[{"role":"user","content":"a \\"b\\"\\n\\\\ \\u0001é"},'
        '{"role":"assistant","content":null,"tool_calls":["x"]}]',
        "[]",
        '[{"role":"user","content":"","w":1}]',
    ]
    assert spans.kind.tolist() == [JSON, NULL, JSON, JSON]


nested = st.lists(
    st.none()
    | st.lists(
        st.none()
        | st.fixed_dictionaries(
            {"role": st.none() | st.text(max_size=9), "content": st.none() | st.text(max_size=9)},
            optional={
                "w": st.integers(-128, 127),
                "tool_calls": st.lists(st.none() | st.text(max_size=4), max_size=3),
            },
        ),
        max_size=3,
    ),
    max_size=8,
)


def pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: pruned(v) for k, v in value.items() if v is not None or k == "content"}
    return [pruned(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=80)
@given(nested, st.sampled_from([pa.list_, pa.large_list]), st.integers(0, 3))
def test_nested(rows: list[Any], make: Any, left: int) -> None:
    array = pa.array(rows, make(MESSAGE)).slice(left)
    expected = [pruned(row) for row in array.to_pylist()]
    spans = arrow_spans(array)
    assert [
        json.loads(spans.raw(i)) if spans.kind[i] == JSON else None for i in range(len(spans))
    ] == expected


def test_other_nested_kinds() -> None:
    pairs = pa.array([[("a", 1)], None, [("b", None), ('"', 3)]], pa.map_(pa.string(), pa.int64()))
    assert values(arrow_spans(pairs.slice(1))) == [None, ("json", {"b": None, '"': 3})]
    numbered = pa.array([[(7, "x")]], pa.map_(pa.int8(), pa.string()))
    assert values(arrow_spans(numbered)) == [("json", {"7": "x"})]
    fixed = pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2))
    assert values(arrow_spans(fixed)) == [("json", [1, 2]), None, ("json", [3, None])]
    assert values(arrow_spans(pa.array([{}, None], pa.struct([])))) == [("json", {}), None]
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])
    assert values(arrow_spans(runs)) == ["a", "a", "b"]
    labels = pa.array([["x", "y"], ["x"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    assert values(arrow_spans(labels)) == [("json", ["x", "y"]), ("json", ["x"])]


def test_nested_bytes_that_are_no_utf8_are_marked() -> None:
    spans = arrow_spans(pa.array([[b"a"], [b"\xff"], None], pa.list_(pa.binary())))
    assert spans.kind.tolist() == [JSON, PLAIN, NULL]
    with pytest.raises(UnicodeDecodeError):
        spans.raw(1).decode()


def test_values_that_leave_their_buffer() -> None:
    def offsets(*edges: int) -> pa.Buffer:
        return pa.py_buffer(np.array(edges, np.int32))

    text = pa.py_buffer(b"abc")
    lists = [pa.array(["a"])]
    damaged = [
        pa.StringArray.from_buffers(2, offsets(0, 99, 3), text),
        pa.StringArray.from_buffers(2, offsets(0, 3, 1), text),
        pa.ListArray.from_buffers(pa.list_(pa.string()), 2, [None, offsets(0, 9, 1)], children=lists),
        pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int8()), pa.array(["a"]), safe=False),
        pa.DictionaryArray.from_arrays(pa.array([-1], pa.int8()), pa.array(["a"]), safe=False),
    ]
    for array in damaged:
        with pytest.raises(pa.ArrowInvalid):
            check_array(array)


def test_a_null_child_and_bytes_that_are_no_text_are_no_damage() -> None:
    check_array(pa.array([[{"role": "user", "name": None}], []]))
    check_array(pa.array([[b"caf\xe9"]]).view(pa.list_(pa.string())))
    check_array(pa.array([b"caf\xe9"] * 2).view(pa.string()).dictionary_encode())


def test_text_to_arrow_without_a_copy() -> None:
    data = np.frombuffer(b"abcdef" + bytes(PADDING), np.uint8)
    text = Text(data, np.array([0, 2, 2, 6], np.int64))
    array = text_to_arrow(text)
    assert array.to_pylist() == ["ab", "", "cdef"] and array.buffers()[2].address == data.ctypes.data
    array.validate(full=True)
    assert text_to_arrow(text, np.array([True, False, True])).to_pylist() == ["ab", None, "cdef"]


def test_source_json() -> None:
    batch = pa.RecordBatch.from_pylist([{"a": 1, "b": None, "c": 'x"\n', "d": [{"content": None}]}])
    assert source_json(batch, 0) == b'{"a":1,"b":null,"c":"x\\"\\n","d":[{"content":null}]}'
    raw = pa.RecordBatch.from_arrays([pa.array([b"ok", b"\xffz"])], names=["t"])
    assert json.loads(source_json(raw, 1)) == {"t": "\\xffz"}


def test_text_bytes() -> None:
    rows = [{"a": "é", "b": [{"content": "xyz"}], "n": 1}, {"a": None, "b": [], "n": 2}]
    assert text_bytes(pa.RecordBatch.from_pylist(rows)).tolist() == [5, 0]


def test_structs_without_any_value_stay_rows() -> None:
    spans = arrow_spans(pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}, {"a": None, "b": ""}]))
    assert [spans.raw(row) for row in range(4)] == [b'{"a":1,"b":"x"}', b"", b"{}", b'{"b":""}']
    assert spans.kind.tolist() == [JSON, NULL, JSON, JSON]
