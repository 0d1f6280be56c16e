"""JSON lines and arrays through sources: every row exactly once, however the input is cut."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import InputError
from forge_gpu.fates import Reason
from forge_gpu.io.chunks import JsonChunk, ReadBuffer
from forge_gpu.kernels.reference.scan import scan_records
from tests.io.io_support import RECORDS, as_lines, json_rows, opened, put, rows_of

ARRAY = json.dumps(RECORDS, ensure_ascii=False).encode()
PRETTY = json.dumps(RECORDS, ensure_ascii=False, indent=2).encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n \r\n\t\n", []),
        (as_lines(RECORDS), RECORDS),
        (as_lines(RECORDS)[:-1], RECORDS),
        (as_lines(RECORDS, "\r\n"), RECORDS),
        (as_lines(RECORDS[:1]), RECORDS[:1]),
        (b"\xef\xbb\xbf" + as_lines(RECORDS), RECORDS),
        (b"\n\n" + as_lines(RECORDS, "\n\n \n"), RECORDS),
        (ARRAY, RECORDS),
        (PRETTY, RECORDS),
        (b"\xef\xbb\xbf \n" + PRETTY + b"\n\n", RECORDS),
        (b"[]", []),
        (b" [ ] ", []),
        (b'[1, [2, 3], "x"]', [1, [2, 3], "x"]),
        (b"[1]\n[2]\n", [[1], [2]]),
    ],
)
@pytest.mark.parametrize("suffix", ["json", "jsonl", "dat"])
def test_forms(tmp_path: Path, data: bytes, expected: list[Any], suffix: str) -> None:
    source = opened(put(tmp_path, f"f.{suffix}", data), tmp_path)
    assert rows_of(source) == expected
    assert rows_of(source, 1) == expected  # again, and in the smallest chunks


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
records = st.lists(
    st.dictionaries(st.text(max_size=5), values | st.text(max_size=60), max_size=4), max_size=12
)


@settings(deadline=None, max_examples=60)
@given(
    records=records,
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\n\n", "\n  \t\n"]), min_size=1, max_size=4),
    last=st.booleans(),
    range_bytes=st.integers(1, 400),
    chunk_bytes=st.integers(1, 400),
)
def test_lines_exactly_once(
    records: list[Any], ends: list[str], last: bool, range_bytes: int, chunk_bytes: int
) -> None:
    text = "".join(json.dumps(r, ensure_ascii=False) + ends[i % len(ends)] for i, r in enumerate(records))
    data = (text if last else text.rstrip()).encode("utf-8", "surrogatepass")
    with TemporaryDirectory() as folder:
        source = opened(put(Path(folder), "f", data), Path(folder), format="jsonl", range_bytes=range_bytes)
        rows = []
        for part in source.ranges:
            for chunk in source.read(part, chunk_bytes):
                assert isinstance(chunk, JsonChunk)
                assert chunk.data.tobytes() == data[chunk.offset : chunk.offset + len(chunk.data)]
                lines = [line for line in chunk.data.tobytes().split(b"\n") if line.strip()]
                for line in lines:
                    assert part.begin <= data.index(line, chunk.offset) < part.end
                rows += lines
        assert rows == [line for line in data.split(b"\n") if line.strip()]


@settings(deadline=None, max_examples=60)
@given(
    records=records,
    indent=st.sampled_from([None, 0, 3]),
    range_bytes=st.integers(1, 400),
    chunk_bytes=st.integers(1, 400),
)
def test_array_exactly_once(
    records: list[Any], indent: int | None, range_bytes: int, chunk_bytes: int
) -> None:
    data = json.dumps(records, indent=indent).encode()
    with TemporaryDirectory() as folder:
        source = opened(put(Path(folder), "f", data), Path(folder), format="json", range_bytes=range_bytes)
        assert rows_of(source, chunk_bytes) == records


@pytest.mark.parametrize("form", ["jsonl", "json"])
@pytest.mark.parametrize("chunk_bytes", [100, 10_000, 10**6, 2**23])
def test_a_row_that_is_too_long(tmp_path: Path, form: str, chunk_bytes: int) -> None:
    limit = 10**6
    long = {"query": "y" * (5 * 10**6)}
    records = [*RECORDS, long, *RECORDS, {"query": "z" * (limit - 14)}, long]
    data = as_lines(records) if form == "jsonl" else json.dumps(records).encode()
    source = opened(put(tmp_path, "f", data), tmp_path, format=form, max_row_bytes=limit, range_bytes=300_000)
    reasons, sizes, retained, buffer = [], [], [], ReadBuffer()
    for part in source.ranges:
        for chunk in source.read(part, chunk_bytes, buffer):
            assert isinstance(chunk, JsonChunk)
            assert len(chunk.data) <= max(chunk_bytes, limit + 2)
            scanned = scan_records(chunk.data, chunk.form, ["query"], limit)
            reasons += scanned.reason.tolist()
            sizes += scanned.length.tolist()
            retained += [
                (scanned.data[at : at + n].tobytes())
                for at, n in zip(scanned.start, scanned.length, strict=True)
            ]
            if chunk.truncated:
                assert chunk.data[:limit].tobytes() == data[chunk.offset : chunk.offset + limit]
    too_long = [i for i, reason in enumerate(reasons) if reason == Reason.ROW_TOO_LONG]
    assert too_long == [5, 12]
    assert [reason for reason in reasons if reason] == [Reason.ROW_TOO_LONG] * 2
    assert len(reasons) == len(records)
    assert [len(row) for row in retained if len(row) > limit] == [limit + 1] * 2
    assert len(buffer.data) <= max(chunk_bytes, limit + 2)


def test_long_white_space_is_no_row(tmp_path: Path) -> None:
    blank = b" " * 5000
    source = opened(
        put(tmp_path, "f", b'{"a":1}\n' + blank + b"\r\n" + blank + b'{"b":2}\n{"c":3}\n' + blank),
        tmp_path,
        max_row_bytes=100,
        format="jsonl",
    )
    rows = rows_of(source, 50)
    assert rows[0] == {"a": 1} and rows[1][0] == "too long" and rows[2] == {"c": 3} and len(rows) == 3
    spread = b"[" + blank + b'{"a":1}' + blank + b"," + blank + b'{"b":' + blank + b"2}" + blank + b"]"
    source = opened(put(tmp_path, "g", spread), tmp_path, max_row_bytes=100, format="json", range_bytes=10)
    rows = rows_of(source, 50)
    assert rows[0] == {"a": 1} and len(rows) == 2


@pytest.mark.parametrize(
    ("data", "line", "rows"),
    [
        (ARRAY[:-1], "not closed", 5),
        (ARRAY[:-2], "2 brackets deep", 4),
        (ARRAY[:-5], "in a string", 4),
        (ARRAY[:400], "at byte 400", 3),
        (ARRAY + b" x", "follows the end of the array", 5),
        (b"[", "not closed", 0),
    ],
)
def test_damaged_arrays(tmp_path: Path, data: bytes, line: str, rows: int) -> None:
    file = put(tmp_path, "f.json", data)
    with pytest.raises(InputError, match=line):
        opened(file, tmp_path, format="json")
    source = opened(file, tmp_path, format="json", on_corrupt="keep_prefix", range_bytes=64)
    assert rows_of(source) == RECORDS[:rows] and len(source.losses) == 1


def test_ranges_depend_on_the_input_alone(tmp_path: Path) -> None:
    data = as_lines(RECORDS * 50)
    file = put(tmp_path, "f.jsonl", data)
    first = opened(file, tmp_path, range_bytes=1000)
    assert first.ranges == opened(file, tmp_path, range_bytes=1000).ranges
    assert [part.begin for part in first.ranges] == list(range(0, len(data), 1000))
    assert sum(part.size for part in first.ranges) == len(data)


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_threads_read_one_source_at_once(tmp_path: Path, form: str) -> None:
    records = [{"n": i, "text": "w" * (i % 97)} for i in range(5000)]
    data = as_lines(records) if form == "jsonl" else json.dumps(records).encode()
    source = opened(put(tmp_path, "f", data), tmp_path, range_bytes=4096)
    result: dict[int, list[Any]] = {}

    def work(start: int) -> None:
        buffer = ReadBuffer()
        for part in source.ranges[start::4]:
            rows = [row for chunk in source.read(part, 700, buffer) for row in json_rows(chunk)]  # type: ignore[arg-type]
            result[part.number] = rows

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row for number in sorted(result) for row in result[number]] == records


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    source = opened(put(tmp_path, "f.jsonl", as_lines(RECORDS * 100)), tmp_path)
    (tmp_path / "f.jsonl").write_bytes(as_lines(RECORDS))
    with pytest.raises(InputError, match="became shorter"):
        rows_of(source)


def test_chunks_are_scanned_as_the_whole_is(tmp_path: Path) -> None:
    data = json.dumps([{"a": i, "b": "x" * i} for i in range(200)]).encode()
    source = opened(put(tmp_path, "f.json", data), tmp_path, range_bytes=1500)
    whole = scan_records(np.frombuffer(data[1:-1], np.uint8), "array", ["a"], 10**6)
    lengths: list[int] = []
    for part in source.ranges:
        for chunk in source.read(part, 333):
            assert isinstance(chunk, JsonChunk)
            lengths += scan_records(chunk.data, "array", ["a"], 10**6).length.tolist()
    assert lengths == whole.length.tolist()


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 70) | st.just(0), max_size=20),
    end=st.sampled_from(["\n", "\r\n"]),
    limit=st.integers(8, 50),
    cuts=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=2, max_size=2),
    form=st.sampled_from(["jsonl", "json"]),
)
def test_what_is_cut_does_not_depend_on_chunks(
    lengths: list[int], end: str, limit: int, cuts: list[tuple[int, int]], form: str
) -> None:
    """Records and their source bytes, a too long one's included, are the same for all sizes of chunks."""
    records = [{"a": "x" * n} if n % 3 else ({"a": " "} if n else None) for n in lengths]
    texts = [
        " " * n if form == "jsonl" and r is None else json.dumps(r)
        for n, r in zip(lengths, records, strict=True)
    ]
    data = (end.join(texts) if form == "jsonl" else "[" + ("," + end).join(texts) + "]").encode()
    result = []
    for range_bytes, chunk_bytes in [*cuts, (10**6, 10**6)]:
        with TemporaryDirectory() as folder:
            file = put(Path(folder), "f", data)
            source = opened(file, Path(folder), format=form, range_bytes=range_bytes, max_row_bytes=limit)
            rows = []
            for part in source.ranges:
                for chunk in source.read(part, chunk_bytes):
                    assert isinstance(chunk, JsonChunk)
                    scanned = scan_records(chunk.data, chunk.form, [], limit)
                    rows += [
                        (int(scanned.reason[i]), scanned.length[i], chunk.offset + scanned.start[i])
                        for i in range(len(scanned))
                    ]
            result.append(rows)
    assert result[0] == result[1] == result[2]
    assert len(result[0]) == len([text for text in texts if text.strip()])
