"""The first rows of an input, without reading all of it."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from io_support import arrow_rows, json_rows, put

from forge_gpu.io.chunks import JsonChunk
from forge_gpu.io.formats import detect
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.sample import sample

RECORDS = [{"n": str(i), "text": "w" * (i % 200)} for i in range(20_000)]
TABLE = pa.Table.from_pylist(RECORDS)


def table_bytes(write: Any) -> bytes:
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def ipc(sink: Any, stream: bool) -> None:
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=500)


LINES = "".join(json.dumps(row) + "\n" for row in RECORDS).encode()
CSV = ("n,text\n" + "".join(f'{row["n"]},"{row["text"]}"\n' for row in RECORDS)).encode()
DATA = {
    "lines": LINES,
    "lines.gz": gzip.compress(LINES),
    "lines.utf16": LINES.decode().encode("utf-16"),
    "array": json.dumps(RECORDS, indent=1).encode(),
    "csv": CSV,
    "csv.gz": gzip.compress(CSV),
    "parquet": table_bytes(lambda sink: pq.write_table(TABLE, sink)),
    "parquet.gz": gzip.compress(table_bytes(lambda sink: pq.write_table(TABLE, sink))),
    "arrow": table_bytes(lambda sink: ipc(sink, False)),
    "stream": table_bytes(lambda sink: ipc(sink, True)),
}


def rows_of(file: InputFile, max_bytes: int) -> list[Any]:
    rows: list[Any] = []
    for chunk in sample(file, detect(file), max_bytes):
        rows += json_rows(chunk) if isinstance(chunk, JsonChunk) else arrow_rows(chunk)
    return rows


@pytest.mark.parametrize("name", DATA)
def test_first_rows(tmp_path: Path, name: str) -> None:
    file = put(tmp_path, "f.csv" if "csv" in name else "f", DATA[name])
    rows = rows_of(file, 100_000)
    assert 200 < len(rows) < 5000 and rows == RECORDS[: len(rows)]
    assert rows_of(file, 2**30) == RECORDS


def test_a_first_line_longer_than_the_sample(tmp_path: Path) -> None:
    data = json.dumps({"t": "x" * 10_000}).encode() + b"\n" + LINES
    assert rows_of(put(tmp_path, "f", data), 100)[0] == {"t": "x" * 10_000}


def test_nothing(tmp_path: Path) -> None:
    assert rows_of(put(tmp_path, "f", b""), 100) == []
    assert (
        rows_of(put(tmp_path, "g", table_bytes(lambda sink: pq.write_table(TABLE.slice(0, 0), sink))), 100)
        == []
    )
