"""Tables from outside: whatever their bytes say, rows are read as they are or the file is refused by name."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import InputError
from forge_gpu.foretell.table_pieces import cut_table
from forge_gpu.io.chunks import ArrowChunk, Source
from forge_gpu.io.formats import detect
from forge_gpu.io.tables import ParquetSource
from forge_gpu.planner.sample import sample
from tests.io.io_support import opened, put, rows_of

ROWS = 300
TABLE = pa.table(
    {
        "text": [None if i % 5 == 0 else "é" * (i % 7) for i in range(ROWS)],
        "flag": [i % 3 == 0 for i in range(ROWS)],
        "parts": [None if i % 6 == 0 else [f"p{j}" for j in range(i % 4)] for i in range(ROWS)],
        "record": [{"a": i, "b": {"c": f"q{i}", "gone": None}} for i in range(ROWS)],
        "map": pa.array([[("k", str(i))] for i in range(ROWS)], pa.map_(pa.string(), pa.string())),
        "label": pa.array([f"l{i % 3}" for i in range(ROWS)]).dictionary_encode(),
        "pair": pa.array([[i, i + 1] for i in range(ROWS)], pa.list_(pa.int16(), 2)),
        "bytes": pa.array([b"x" * (i % 9) for i in range(ROWS)], pa.large_binary()),
        "view": pa.array([f"view {i} " * 5 for i in range(ROWS)], pa.string_view()),
        "gone": pa.nulls(ROWS),
    }
)


def arrow(table: pa.Table, *, stream: bool = False, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    opener = pa.ipc.new_stream if stream else pa.ipc.new_file
    with opener(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=117)
    return sink.getvalue()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=117)
    return sink.getvalue()


def read(source: Source, chunk_bytes: int = 3000) -> list[dict[str, Any]]:
    chunks = [chunk for part in source.ranges for chunk in source.read(part, chunk_bytes)]
    return [row for chunk in chunks if isinstance(chunk, ArrowChunk) for row in chunk.batch.to_pylist()]


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("left_out", ["view", "label", "gone"])
def test_rows_are_cut_out_of_batches(
    tmp_path: Path, left_out: str, stream: bool, compression: str | None
) -> None:
    table = TABLE.drop([left_out])
    file = put(tmp_path, "x.arrow", arrow(table, stream=stream, compression=compression))
    assert read(opened(file, tmp_path, memory=0, range_bytes=5000)) == table.to_pylist()


MAKERS: dict[str, Callable[[pa.Table], bytes]] = {
    "arrow": arrow,
    "stream": lambda table: arrow(table, stream=True),
    "packed": lambda table: arrow(table, compression="zstd"),
    "parquet": parquet,
}


@pytest.mark.parametrize("kind", list(MAKERS))
def test_damage_anywhere_is_told_by_name(tmp_path: Path, kind: str) -> None:
    """Each byte that is changed gives rows or one line; never a crash, another error, or more rows."""
    table = TABLE.drop(["view"]) if kind == "parquet" else TABLE
    good, chance = MAKERS[kind](table), random.Random(kind)
    for _ in range(20):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(8, len(data))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        file = put(tmp_path, "damaged.table", bytes(data))
        for look in (
            sample,
            lambda file: values(opened(file, tmp_path, memory=0)),
            lambda file: cut_table(file, detect(file), len(good) / 2, tmp_path / "piece"),
        ):
            try:
                look(file)
            except InputError as fault:
                assert "damaged.table" in str(fault)


def values(source: Source) -> None:
    """Look at every value of a source, as a job does."""
    rows = 0
    for part in source.ranges:
        for chunk in source.read(part, 2**16):
            assert isinstance(chunk, ArrowChunk)
            for name in chunk.names:
                chunk.spans(name).data.sum()
            rows += len(chunk)
            assert rows <= 10 * ROWS


@pytest.mark.parametrize("kind", list(MAKERS))
def test_texts_that_are_no_utf8_damage_nothing(tmp_path: Path, kind: str) -> None:
    texts = pa.array([b"caf\xe9" if i == 3 else b"good" for i in range(20)]).view(pa.string())
    table = pa.table({"q": texts, "messages": [[{"role": "user", "name": None}]] * 20})
    file = put(tmp_path, "x.table", MAKERS[kind](table))
    looked = sample(file)
    assert looked.unreadable == 1 and len(looked.records) == 19
    assert looked.records[0] == {"q": "good", "messages": [{"role": "user"}]}
    values(opened(file, tmp_path, memory=0))


@pytest.mark.parametrize("kind", list(MAKERS))
@pytest.mark.parametrize("how", ["replaced", "cut", "touched", "removed"])
def test_a_table_that_changes_is_noticed(tmp_path: Path, kind: str, how: str) -> None:
    plain = TABLE.drop(["view", "label"])
    path = Path(put(tmp_path, "x.table", MAKERS[kind](plain)).url)
    source = opened(put(tmp_path, "x.table", MAKERS[kind](plain)), tmp_path, memory=0)
    if kind == "packed":
        return  # spooled: what was read is a copy
    assert read(source) == plain.to_pylist()
    if how == "replaced":
        (tmp_path / "new").write_bytes(MAKERS[kind](plain))
        os.replace(tmp_path / "new", path)
    elif how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"x.table: (changed|became shorter) while it was read"):
        read(source)


def test_rows_without_a_byte_are_not_taken_at_once(tmp_path: Path) -> None:
    file = put(tmp_path, "x.arrow", arrow(pa.table({"gone": pa.nulls(100_000)})))
    source = opened(file, tmp_path)
    chunks = [chunk for part in source.ranges for chunk in source.read(part, 2**16)]
    sizes = [len(chunk) for chunk in chunks if isinstance(chunk, ArrowChunk)]
    assert sum(sizes) == 100_000 and max(sizes) < 5000
    assert rows_of(source)[0] == {"gone": None}


@pytest.mark.parametrize("nested", [False, True])
def test_a_dictionary_does_not_make_chunks_of_its_size_times_its_uses(tmp_path: Path, nested: bool) -> None:
    """A text of 8 KB in each of 5,000 rows is 100 KB of file, and 40 MB when it is decoded."""
    texts: list[Any] = ["You are a helpful assistant. " * 280] * 5000
    column = [[{"content": text}] for text in texts] if nested else texts
    sink = io.BytesIO()
    pq.write_table(pa.table({"s": column, "q": [f"question {i}" for i in range(5000)]}), sink)
    source = opened(put(tmp_path, "x.parquet", sink.getvalue()), tmp_path, memory=0)
    assert isinstance(source, ParquetSource)
    (part,) = source.ranges
    decoded = [batch.nbytes for batch in source._batches(part, 2**18, ["s", "q"])]
    assert max(decoded) <= 2**19
    assert sum(len(chunk) for chunk in source.read(part, 2**18) if isinstance(chunk, ArrowChunk)) == 5000
