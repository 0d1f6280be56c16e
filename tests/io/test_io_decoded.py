"""Chunks of a table whose texts somebody else has decoded: the rows, columns and refusals of the host's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import InputError
from forge_gpu.io.chunks import ArrowChunk, ReadBuffer, Source
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.decoded import DecodedChunk
from forge_gpu.io.row_groups import RowGroups, text_columns
from forge_gpu.kernels.layout import Spans
from tests.io.io_support import arrow_rows, opened, put

ROWS = 100
TABLE = pa.table(
    {
        "n": range(ROWS),
        "text": [None if i % 5 == 0 else "é" * (i % 7) for i in range(ROWS)],
        "list": [[str(i), None] for i in range(ROWS)],
        "wide": pa.array([f"{i}" * (i % 3) for i in range(ROWS)], pa.large_string()),
    }
)


class Decoder:
    """Decodes with pyarrow; the first of several row groups alone, and every `skip`-th call not at all."""

    def __init__(self, skip: int = 0) -> None:
        self.skip, self.calls = skip, 0

    def __call__(self, required: RowGroups) -> tuple[int, dict[str, Spans] | None]:
        self.calls += 1
        if self.skip and self.calls % self.skip == 0:
            return len(required.groups), None
        count = max(len(required.groups) // 2, 1)
        table = pa.Table.from_batches(required.part(slice(0, count)).batches(10**6, list(required.columns)))
        return count, {name: arrow_spans(table.column(name)) for name in required.columns}


def parquet(folder: Path, **options: Any) -> Source:
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink, row_group_size=13)
    return opened(put(folder, "f.parquet", sink.getvalue().to_pybytes()), folder, **options)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return parquet(tmp_path, max_row_bytes=14)


def chunks_of(source: Source, chunk_bytes: int, decoder: Any, columns: Any = None) -> list[ArrowChunk]:
    result = source.read(source.ranges[0], chunk_bytes, ReadBuffer(decoder), columns)
    return [chunk for chunk in result if isinstance(chunk, ArrowChunk)]


def values(spans: Spans) -> list[Any]:
    return [(int(kind), spans.raw(i)) for i, kind in enumerate(spans.kind)]


@pytest.mark.parametrize("columns", [None, ["text", "absent"], ["wide", "list"], ["n", "wide", "text"]])
@pytest.mark.parametrize("chunk_bytes", [1, 200, 900, 2**20])
@pytest.mark.parametrize("skip", [0, 2])
def test_rows_are_those_of_the_host(source: Source, columns: Any, chunk_bytes: int, skip: int) -> None:
    host = chunks_of(source, chunk_bytes, None, columns)
    chunks = chunks_of(source, chunk_bytes, Decoder(skip), columns)
    assert any(isinstance(chunk, DecodedChunk) for chunk in chunks)
    assert [row for chunk in chunks for row in arrow_rows(chunk)] == [
        row for chunk in host for row in arrow_rows(chunk)
    ]
    assert {chunk.names for chunk in chunks} == {host[0].names}
    for name in host[0].names:
        result, want = ([v for c in some for v in values(c.spans(name))] for some in (chunks, host))
        assert result == want
    assert [n for c in chunks for n in c.value_bytes()] == [n for c in host for n in c.value_bytes()]
    ends = 0
    for chunk in chunks:
        assert chunk.first_row == ends
        ends += len(chunk)
    assert ends == ROWS


def test_rows_that_are_too_long(source: Source) -> None:
    host, chunks = chunks_of(source, 2**20, None), chunks_of(source, 2**20, Decoder())
    bad = [{chunk.first_row + row: why for row, why in chunk.bad.items()} for chunk in (*host, *chunks)]
    merged = {row: why for result in bad[1:] for row, why in result.items()}
    assert len(host) == 1 and len(merged) > 10 and merged == bad[0]


def test_batches_come_in_any_order(source: Source) -> None:
    chunks = chunks_of(source, 200, Decoder())
    for chunk in (*reversed(chunks), *chunks[::2]):
        rows = TABLE.slice(chunk.first_row, len(chunk)).to_pylist()
        assert chunk.batch.to_pylist() == rows
        part = chunk.slice(len(chunk) // 2, len(chunk))
        assert part.batch.to_pylist() == rows[len(chunk) // 2 :]
        assert part.first_row == chunk.first_row + len(chunk) // 2


def test_columns_without_text_are_not_asked_for(source: Source) -> None:
    decoder = Decoder()
    assert all(type(chunk) is ArrowChunk for chunk in chunks_of(source, 200, decoder, ["n", "list"]))
    assert decoder.calls == 0


def test_texts_are_strings_by_both_schemas() -> None:
    text = ["a", "b"]
    table = pa.table(
        {
            "s": text,
            "l": pa.array(text, pa.large_string()),
            "v": pa.array(text, pa.string_view()),
            "d": pa.array(text).dictionary_encode(),
            "b": pa.array([b"a", b"b"]),
            "j": pa.array(text).cast(pa.json_()),
            "x.y": text,
            "nested": [{"s": "a"}, {"s": "b"}],
            "many": [["a"], ["b"]],
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    metadata = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    assert text_columns(metadata) == {"s", "l"}


@pytest.mark.parametrize("fewer", [{"n", "list"}, {"n", "text", "list", "wide"}, {"text"}])
def test_a_file_with_other_rows_than_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fewer: set[str]
) -> None:
    """fewer: the columns whose reader gives too few rows: the others', whole rows', bytes of texts."""
    source = parquet(tmp_path)
    reading = RowGroups.batches

    def batches(self: RowGroups, rows: int, columns: Any) -> Any:
        for batch in reading(self, rows, columns):
            yield batch.slice(1) if set(columns) == fewer else batch

    monkeypatch.setattr(RowGroups, "batches", batches)
    with pytest.raises(InputError, match=r"f\.parquet: changed while it was read: row \d+ is missing"):
        _ = [chunk.batch for chunk in chunks_of(source, 2**20, Decoder())]
        source._groups_of([0, 1], ("text",)).text_bytes("text")  # type: ignore[attr-defined]
