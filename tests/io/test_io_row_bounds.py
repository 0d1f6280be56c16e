"""Chunks of JSON are cut where they have more rows than memory is for; what is cut is what was there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forge_gpu.hardware.budget import ROW_BYTES
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.io.row_bounds import bounded
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.kernels.scratch import Scratch

ROWS = 10


def parts(text: str, form: str, rows: int = ROWS) -> list[JsonChunk]:
    data = np.frombuffer(text.encode(), np.uint8)
    result = list(bounded(JsonChunk(data, form, 7), rows * ROW_BYTES))  # type: ignore[arg-type]
    assert b"".join(part.data.tobytes() for part in result) == text.encode()
    places = [part.offset for part in result]
    assert places == [7 + sum(len(part.data) for part in result[:i]) for i in range(len(result))]
    return result


def records(part: JsonChunk) -> int:
    return len(scan_records(part.data, part.form, ("a",), 2**40, Scratch()))


@pytest.mark.parametrize("last", ["\n", ""])
@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 25])
def test_lines_come_so_many_at_a_time(count: int, last: str) -> None:
    result = parts("{}\n" * (count - 1) + "{}" + last, "lines")
    assert [records(part) for part in result] == [ROWS] * (count // ROWS) + [count % ROWS] * bool(
        count % ROWS
    )


def test_blank_lines_count_and_are_no_records() -> None:
    result = parts("{}\n" + "\n" * 35 + '{"a":1}\n', "lines")
    assert [records(part) for part in result] == [1, 0, 0, 1]


@pytest.mark.parametrize("last", [",", ""])
def test_elements_are_cut_between_them(last: str) -> None:
    values = [1, "a,b,c", {"a": [1, 2, 3]}, ["\\,", '",'], None] * 12
    result = parts(",".join(json.dumps(value) for value in values) + last, "array")
    assert len(result) > 6
    assert sum(records(part) for part in result) == len(values)
    assert max(records(part) for part in result) <= ROWS + 1


def test_an_element_of_many_commas_is_a_part_of_its_own() -> None:
    long = json.dumps({"a": list(range(1000))})
    assert [records(part) for part in parts(f"1,{long},2,3", "array")] == [2, 2]


def test_what_has_few_rows_or_is_one_that_is_too_long_stays_as_it_is() -> None:
    data = np.frombuffer(b"{}\n" * 9, np.uint8)
    chunk = JsonChunk(data, "lines", 0)
    assert list(bounded(chunk, ROWS * ROW_BYTES)) == [chunk]
    truncated = JsonChunk(np.frombuffer(b"\n" * 99 + b"+", np.uint8), "lines", 0, True)
    assert list(bounded(truncated, ROWS * ROW_BYTES)) == [truncated]


def test_parts_end_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forge_gpu.io.row_bounds._BLOCK", 5)
    assert [records(part) for part in parts("{}\n" * 25, "lines")] == [10, 10, 5]
    assert sum(records(part) for part in parts(",".join(["1"] * 45), "array")) == 45
