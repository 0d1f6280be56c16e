"""Columns of pandas as spans: what each value stands for, and what is copied."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.frames import blocks
from forge_gpu.frames.objects import object_spans
from forge_gpu.frames.pandas_frames import PandasFrames
from forge_gpu.kernels import layout
from tests.library import frame_cases as cases

ENGINE = forge_gpu.open_engine()
KINDS = {layout.NULL: "null", layout.PLAIN: "text", layout.JSON: "json"}
HOUR = datetime.timezone(datetime.timedelta(hours=1))


def spelled(values: list[Any]) -> list[tuple[str, bytes]]:
    spans = object_spans(values, pd.isna)
    return [(KINDS[int(kind)], spans.raw(i)) for i, kind in enumerate(spans.kind)]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("é\n", ("text", "é\n".encode())),
        ("", ("text", b"")),
        (b"\xff", ("text", b"\xff")),
        (None, ("null", b"")),
        (pd.NA, ("null", b"")),
        (pd.NaT, ("null", b"")),
        (float("nan"), ("null", b"")),
        (float("inf"), ("null", b"")),
        (np.float32("nan"), ("null", b"")),
        (True, ("json", b"true")),
        (np.bool_(False), ("json", b"false")),
        (1, ("json", b"1")),
        (np.uint8(7), ("json", b"7")),
        (10**40, ("json", b"1" + b"0" * 40)),
        (1.5, ("json", b"1.5")),
        (Decimal("1.50"), ("json", b"1.50")),
        ([], ("json", b"[]")),
        ((1, "a"), ("json", b'[1,"a"]')),
        (np.array([1, 2]), ("json", b"[1,2]")),
        (np.array([{"a": np.array(["x"], object)}], object), ("json", b'[{"a":["x"]}]')),
        ({"a": [None, pd.NA, 2.5]}, ("json", b'{"a":[null,null,2.5]}')),
        ({"a": 10**30, 5: "é"}, ("json", '{"a":1000000000000000000000000000000,"5":"é"}'.encode())),
        (pd.Timestamp("2024-05-01 10:00", tz=HOUR), ("text", b"2024-05-01T10:00:00+01:00")),
        (datetime.date(2024, 5, 1), ("text", b"2024-05-01")),
        ({"at": pd.Timestamp("2024-05-01")}, ("json", b'{"at":"2024-05-01T00:00:00"}')),
        (UUID(int=5), ("text", b"00000000-0000-0000-0000-000000000005")),
        ("\ud800", ("text", b"\xed\xa0\x80")),
        ({"a": "\ud800"}, ("text", b'{"a":"\xed\xa0\x80"}')),
    ],
)
def test_what_a_python_object_stands_for(value: Any, want: tuple[str, bytes]) -> None:
    assert spelled([value]) == [want]
    assert spelled(["x", value, None, value]) == [("text", b"x"), want, ("null", b""), want]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES, max_size=5))
def test_any_json_value_reads_back(values: list[Any]) -> None:
    for value, (kind, text) in zip(values, spelled(values), strict=True):
        if kind == "text":
            assert text.decode("utf-8", "surrogatepass") == value or not isinstance(value, str)
        else:
            assert (None if kind == "null" else json.loads(text)) == value


def test_rows_that_have_no_utf8_are_refused_and_never_lost() -> None:
    damaged = pa.array([b"good", b"\xff\xfe", None, b"\xff"], pa.binary())
    frame = pd.DataFrame(
        {
            "a": pd.Series(["x", "x", "x", "\ud800"], dtype=object),
            "b": pd.array(damaged, dtype=pd.ArrowDtype(pa.binary())),
        }
    )
    text = ENGINE.render(frame, "{a}-{b}")
    assert cases.without_nulls(text) == ["x-good", None, None, None]
    reported = cases.without_nulls(ENGINE.reasons(frame, "{a}-{b}"))
    assert reported == [None, "invalid_utf8", "null_field: 'b' is null", "invalid_utf8"]
    assert ENGINE.check(frame, ["a", "b"])["malformed"].tolist() == [False, True, True, True]
    assert len(ENGINE.deduplicate(frame)) == 4
    assert len(ENGINE.deduplicate(pd.concat([frame, frame], ignore_index=True))) == 4
    assert sum(map(len, ENGINE.split(frame, 0.5, 0.5).values())) == 4


@pytest.mark.parametrize("kind", ["str", "arrow", "view", "chunks"])
def test_arrow_text_is_not_copied(kind: str) -> None:
    rows = [{"a": f"a text of some length, number {i}"} for i in range(50)]
    frame = cases.KINDS[kind](rows).iloc[5:45]
    array = frame["a"].array.__arrow_array__()
    array = array.chunk(1) if isinstance(array, pa.ChunkedArray) and array.num_chunks > 1 else array
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    start = 2 if kind == "chunks" else 0
    spans = PandasFrames().spans(frame, "a", start, start + 2)
    if kind == "view":  # views have no offsets: their text is laid out anew
        assert spans.raw(0) == rows[5]["a"].encode()
    else:
        assert spans.data.ctypes.data == array.buffers()[2].address
    assert [spans.raw(i).decode() for i in range(2)] == frame["a"].iloc[start : start + 2].tolist()


def test_what_comes_out_shares_nothing_with_what_comes_next() -> None:
    frame = cases.as_str([{"a": f"text {i}"} for i in range(100)])
    first = ENGINE.render(frame, "{a}")
    before = first.tolist()
    ENGINE.render(frame, "something else: {a}{a}{a}")
    assert first.tolist() == before == [f"text {i}" for i in range(100)]


def test_numbers_dates_and_nulls_of_every_dtype_as_json_has_them() -> None:
    frame = pd.DataFrame(
        {
            "int": [1, -2],
            "float": [0.5, 2.0],
            "bool": [True, False],
            "masked": pd.array([None, 3], dtype="Int64"),
            "when": pd.to_datetime(["2024-05-01 00:00", "2024-05-02 10:30"]),
            "day": pd.array([datetime.date(2024, 5, 1), None], pd.ArrowDtype(pa.date32())),
            "list": pd.array([["a", None], None], pd.ArrowDtype(pa.list_(pa.string()))),
            "money": pd.array([Decimal("1.50"), None], pd.ArrowDtype(pa.decimal128(5, 2))),
        }
    )
    text = ENGINE.render(frame, "{int} {float} {bool} {when}")
    assert text[0].startswith("1 0.5 true 2024-05-01T00:00:00") and text[1].startswith(
        "-2 2.0 false 2024-05-02T10:30"
    )
    assert ENGINE.render(frame, "{day}")[0] == "2024-05-01"
    assert ENGINE.render(frame, "{list}")[0] == '["a",null]'
    assert ENGINE.render(frame, "{money}")[0] == "1.50"
    lacking = ENGINE.reasons(frame, "{masked}{day}{list}{money}")
    assert lacking.tolist() == ["null_field: 'masked' is null", "null_field: 'day' is null"]


def test_the_spelling_is_that_of_the_json_writer() -> None:
    values = [{"b": [1, {"c": "é\u2028"}], "a": 1e100}, [None, True], 3, "text"]
    text = ENGINE.render(pd.DataFrame({"v": values}), "{v}")
    assert text.tolist() == [*(orjson.dumps(value).decode() for value in values[:3]), "text"]


def test_a_block_holds_no_more_of_a_column_than_its_rows() -> None:
    """An engine that works on a device brings whole buffers there."""
    texts = [None if i % 5 == 0 else "" if i % 7 == 0 else f"text {i}" for i in range(100)]
    frame = pd.DataFrame({"a": texts})
    result: list[Any] = []
    ranges = [(start, min(start + 7, 100)) for start in range(0, 100, 7)]
    engine = CpuEngine()
    parts = [
        part for rows in ranges for part in blocks.blocks(PandasFrames(), engine, frame, ["a"], rows, 20)
    ]
    assert len(parts) > len(ranges)
    for block, size in parts:
        column = block["a"]
        assert len(column.data) == column.length.sum() == size
        result += [
            None if kind == layout.NULL else column.raw(i).decode() for i, kind in enumerate(column.kind)
        ]
    assert result == texts
