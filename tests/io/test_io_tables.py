"""CSV, TSV, Parquet and Arrow through sources: every row once and in its place, nothing guessed."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import InputError
from forge_gpu.fates import Reason
from forge_gpu.io import delimited, tables
from forge_gpu.io.chunks import ArrowChunk, BadRow
from forge_gpu.io.spool import SpoolFile
from tests.io.io_support import opened, put, rows_of


def csv_text(rows: list[list[str]], delimiter: str = ",", end: str = "\r\n") -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a,b\n", []),
        (b"a,b", []),
        (b"a,b\n1,2", [("1", "2")]),
        (b"a,b\r\n1,2\r\n", [("1", "2")]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [("1", "2")]),
        (b'a,b\n"1\n\n,2",""\n,\n', [("1\n\n,2", ""), ("", "")]),
        (b'a,b\n"say ""x""",2020-01-01\nnull,NA\n', [('say "x"', "2020-01-01"), ("null", "NA")]),
        (b"a,b\n\n\n1,2\n\n", [("1", "2")]),
        ("a,b\né,日本\n".encode(), [("é", "日本")]),
        (b"a,b\n\xff\xfe,ok\n\xc3\xa9,2\n", [("\udcff\udcfe", "ok"), ("é", "2")]),
        (b'a,b\n"x\ny","z\n"', [("x\ny", "z\n")]),
        (b'a,b\n"x\ny","z\n"\n\n', [("x\ny", "z\n")]),
    ],
)
def test_csv(tmp_path: Path, data: bytes, rows: list[tuple[str, str]]) -> None:
    source = opened(put(tmp_path, "f.csv", data), tmp_path)
    assert [tuple(row.values()) for row in rows_of(source)] == rows
    assert source.columns == ("a", "b") and source.rows == len(rows)


def test_rows_with_a_wrong_number_of_fields_stay_in_their_places(tmp_path: Path) -> None:
    data = b'a,b\nx\n1,2\n\n3\n"q\nr"\n4,5\n6,7,8\n\xff\n9,10\n"a",b,"c"\n'
    source = opened(put(tmp_path, "f.csv", data), tmp_path, format="csv")
    rows = rows_of(source)
    sources = [row.source if isinstance(row, BadRow) else row for row in rows]
    good = [{"a": "1", "b": "2"}, {"a": "4", "b": "5"}, {"a": "9", "b": "10"}]
    assert sources == [
        b"x", good[0], b"3", b'"q\nr"', good[1], b"6,7,8", b"\xff", good[2], b'"a",b,"c"',
    ]  # fmt: skip
    assert {row.reason for row in rows if isinstance(row, BadRow)} == {Reason.WRONG_FIELD_COUNT}


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
maybe_bad = st.lists(st.tuples(st.integers(0, 9), cells, cells), max_size=40)


@settings(deadline=None, max_examples=60)
@given(maybe_bad, st.integers(40, 2000), st.integers(1, 2000), st.integers(1, 500))
def test_csv_rows_exactly_once(
    rows: list[tuple[int, str, str]], block: int, range_bytes: int, chunk_bytes: int
) -> None:
    lines: list[list[str]] = [["left", "right"]]
    expected: list[Any] = []
    for bad, left, right in rows:
        if bad < 3:
            lines.append([left, right, "more"][: [1, 3, 3][bad]])
            expected.append(csv_text([lines[-1]], end="").encode())
        else:
            lines.append([left, right])
            expected.append({"left": left, "right": right})
    data = csv_text(lines, end="\n").encode()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", block)
        source = opened(put(Path(folder), "f.csv", data), Path(folder), format="csv", range_bytes=range_bytes)
        result = rows_of(source, chunk_bytes)
    assert [row.source if isinstance(row, BadRow) else row for row in result] == expected


def test_csv_spool_does_not_depend_on_how_it_is_read(tmp_path: Path) -> None:
    data = csv_text([["a", "b"], *([str(i), "é" * (i % 50)] for i in range(3000))]).encode()
    retained = []
    for name, packed in (
        ("f.csv", data),
        ("g.csv", gzip.compress(data)),
        ("h.csv", data.decode().encode("utf-16")),
    ):
        folder = tmp_path / name
        folder.mkdir()
        opened(put(folder, name, packed), folder, memory=0, range_bytes=2000)
        (spooled,) = (path for path in (folder / "spool").iterdir() if not path.suffix)
        retained.append(spooled.read_bytes())
    assert retained[0] == retained[1] == retained[2]


def test_a_wide_csv_costs_calls_of_its_text_not_of_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column of every block was an array, and written by itself: the square of the columns."""
    columns, written = 3000, list[int]()
    write = SpoolFile.write

    def counted(self: SpoolFile, data: Any) -> None:
        written.append(1)
        write(self, data)

    monkeypatch.setattr(SpoolFile, "write", counted)
    names = [f"c{number}" for number in range(columns)]
    rows = [[f"{row}.{number}" for number in range(columns)] for row in range(300)]
    source = opened(put(tmp_path, "f.csv", csv_text([names, *rows]).encode()), tmp_path)
    assert len(written) < 1000
    chunks = [chunk for part in source.ranges for chunk in source.read(part, 2**16, columns=["c7", "c2999"])]
    read = [tuple(row.values()) for chunk in chunks for row in chunk.batch.to_pylist()]  # type: ignore[union-attr]
    assert read == [(row[7].encode(), row[2999].encode()) for row in rows]


def test_a_long_csv_row(tmp_path: Path) -> None:
    long = "x" * (3 * 2**20)
    data = csv_text([["a", "b"], ["1", "2"], [long, "3"], ["4", "5"]]).encode()
    file = put(tmp_path, "f.csv", data)
    assert [len(row["a"]) for row in rows_of(opened(file, tmp_path))] == [1, len(long), 1]
    rows = rows_of(opened(file, tmp_path, max_row_bytes=1000))
    assert rows[1].reason == Reason.ROW_TOO_LONG and rows[1].source is None
    assert rows[0] == {"a": "1", "b": "2"} and rows[2] == {"a": "4", "b": "5"}


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    data = b'a,b\n"1,1",2\n3,"4\n5,6\n7,8\n'
    file = put(tmp_path, "f.csv", data)
    with pytest.raises(InputError, match="a quote opened in row 2 is never closed"):
        opened(file, tmp_path)
    source = opened(file, tmp_path, on_corrupt="keep_prefix")
    assert rows_of(source) == [{"a": "1,1", "b": "2"}] and len(source.losses) == 1
    with pytest.raises(InputError, match="row 3 is never closed"):
        opened(put(tmp_path, "g.csv", b'a,b\n"1,1",2\n3,4\n"5\n6\n7\n'), tmp_path)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a,a\n1,2\n", "column 'a' more than once"),
        (b"\xff,b\n1,2\n", "header is not UTF-8"),
    ],
)
def test_csv_headers_that_cannot_be(tmp_path: Path, data: bytes, line: str) -> None:
    with pytest.raises(InputError, match=line):
        opened(put(tmp_path, "f.csv", data), tmp_path)


TABLE = pa.table(
    {
        "n": pa.array(range(1000)),
        "text": [None if i % 7 == 0 else "é" * (i % 13) for i in range(1000)],
        "messages": [[{"role": "user", "content": str(i)}] for i in range(1000)],
        "label": pa.array([f"l{i % 3}" for i in range(1000)]).dictionary_encode(),
    }
)


def parquet_bytes(table: pa.Table = TABLE, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def ipc_bytes(
    table: pa.Table = TABLE, stream: bool = False, rows: int = 64, compression: str | None = None
) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


BARE = TABLE.drop_columns(["label"])
SHORT = 160
"""Rows of the tables that are read in the smallest chunks, each of which is checked and weighed."""


@pytest.mark.parametrize("memory", [0, 2**30])
@pytest.mark.parametrize("range_bytes", [1, 1000, 2**24])
@pytest.mark.parametrize("chunk_bytes", [1, 3000, 2**20])
@pytest.mark.parametrize(
    "name",
    ["parquet", "one group", "gzip", "file", "stream", "bare stream", "lz4 file", "zstd stream", "one batch"],
)
def test_tables(tmp_path: Path, name: str, range_bytes: int, chunk_bytes: int, memory: int) -> None:
    table = (BARE if name in ("bare stream", "zstd stream") else TABLE).slice(0, SHORT)
    data = {
        "parquet": lambda: parquet_bytes(table, row_group_size=13),
        "one group": lambda: parquet_bytes(table),
        "gzip": lambda: gzip.compress(parquet_bytes(table, row_group_size=13)),
        "file": lambda: ipc_bytes(table, rows=11),
        "stream": lambda: ipc_bytes(table, stream=True, rows=11),
        "bare stream": lambda: ipc_bytes(table, stream=True, rows=11),
        "lz4 file": lambda: ipc_bytes(table, rows=11, compression="lz4"),
        "zstd stream": lambda: ipc_bytes(table, stream=True, rows=11, compression="zstd"),
        "one batch": lambda: ipc_bytes(table, rows=10**6),
    }[name]()
    source = opened(put(tmp_path, "f", data), tmp_path, range_bytes=range_bytes, memory=memory)
    chunks = [chunk for part in source.ranges for chunk in source.read(part, chunk_bytes)]
    assert all(isinstance(chunk, ArrowChunk) for chunk in chunks)
    assert [chunk.first_row for chunk in chunks] == np.cumsum([0, *map(len, chunks[:-1])]).tolist()  # type: ignore[arg-type, union-attr]
    assert rows_of(source, chunk_bytes) == table.to_pylist()
    assert source.rows == SHORT and source.columns == tuple(table.schema.names)
    if range_bytes == 1:
        assert len(source.ranges) > 3


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    for data in (parquet_bytes(), ipc_bytes()):
        source = opened(put(tmp_path, "f", data), tmp_path)
        for required, names in ((["text", "n", "absent"], ["n", "text"]), ([], [])):
            chunks = [chunk for chunk in source.read(source.ranges[0], 2**24, columns=required)]
            assert all(chunk.batch.schema.names == names for chunk in chunks)  # type: ignore[union-attr]
            assert sum(map(len, chunks)) == 1000  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [parquet_bytes(TABLE.slice(0, 0)), ipc_bytes(TABLE.slice(0, 0)), ipc_bytes(TABLE.slice(0, 0), True)],
)
def test_tables_without_rows(tmp_path: Path, data: bytes) -> None:
    source = opened(put(tmp_path, "f", data), tmp_path)
    assert source.ranges == () and source.rows == 0 and source.columns == tuple(TABLE.schema.names)


def test_a_column_named_twice(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    for data in (parquet_bytes(table), ipc_bytes(table)):
        with pytest.raises(InputError, match="column 'a' more than once"):
            opened(put(tmp_path, "f", data), tmp_path)


def test_damaged_parquet(tmp_path: Path) -> None:
    texts = pa.table({"t": [f"{i * i * 7919 % 1000003:08d}" * 9 for i in range(3000)]})
    whole = parquet_bytes(texts, row_group_size=1000, compression="none", use_dictionary=False)
    cut = put(tmp_path, "cut.parquet", whole[:-100])
    with pytest.raises(InputError, match="no complete footer"):
        opened(cut, tmp_path)
    data = bytearray(whole)
    group = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(1).column(0)
    begin = group.data_page_offset
    data[begin : begin + 40] = bytes(40)
    file = put(tmp_path, "f.parquet", bytes(data))
    source = opened(file, tmp_path, range_bytes=50_000)
    with pytest.raises(InputError, match=r"f\.parquet: damaged after row 1000"):
        rows_of(source)
    retained = opened(file, tmp_path, range_bytes=50_000, on_corrupt="keep_prefix")
    assert rows_of(retained) == [*texts.slice(0, 1000).to_pylist(), *texts.slice(2000).to_pylist()]
    assert retained.losses[0].rows == 1000


@pytest.mark.parametrize("stream", [False, True])
def test_damaged_arrow(tmp_path: Path, stream: bool) -> None:
    whole = ipc_bytes(BARE, stream)
    file = put(tmp_path, "f.arrow", whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"f\.arrow: the Arrow"):
        opened(file, tmp_path)
    retained = opened(file, tmp_path, on_corrupt="keep_prefix")
    rows = rows_of(retained)
    assert rows == BARE.to_pylist()[: len(rows)] and 300 < len(rows) < 1000 and retained.losses


def test_a_large_row_group_is_spooled(tmp_path: Path) -> None:
    file = put(tmp_path, "f.parquet", parquet_bytes())
    source = opened(file, tmp_path, range_bytes=100, memory=0)
    assert isinstance(source, tables.IpcSource) and len(source.ranges) > tables.LARGE_GROUP
    assert opened(file, tmp_path, range_bytes=2**20).ranges[0].end == 1000


def test_tsv(tmp_path: Path) -> None:
    data = csv_text([["a", "b"], ["x,y", "1\t2"]], "\t").encode()
    assert rows_of(opened(put(tmp_path, "f", data), tmp_path)) == [{"a": "x,y", "b": "1\t2"}]
