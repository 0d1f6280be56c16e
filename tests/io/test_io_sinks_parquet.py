"""The Parquet sink: the same file however its rows came, and wherever a run before was killed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.io.sinks import batch_log, lines
from forge_gpu.io.sinks.base import ColumnSink, Positions, Sink, SplitRows
from forge_gpu.io.sinks.lines import Blocks, blocks_of_lines, schema_of
from forge_gpu.io.sinks.parquet import FORMAT
from forge_gpu.kernels.layout import Text

COLUMNS = {"text": "string", "count": "int64", "more": "json"}


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_log, "GROUP_BYTES", 20_000)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1_500)
    monkeypatch.setattr("forge_gpu.io.sinks.parquet.BLOCK_BYTES", 1_500)


def records(count: int) -> list[bytes]:
    chance = random.Random(count)
    made = []
    for number in range(count):
        record = {"text": "é\n" * chance.randint(0, 60), "count": number, "more": [number, None]}
        if number == count // 2:
            record["text"] = "long " * 1_000  # more than a block: it grows
        if number % 5 == 0:
            del record["count"]
        made.append(json.dumps(record).encode() + b"\n")
    return made


def text(rows: list[bytes]) -> Text:
    offsets = np.cumsum([3, *map(len, rows)]).astype(np.int64)  # lines need not begin where their buffer does
    return Text(np.frombuffer(b"..." + b"".join(rows), np.uint8), offsets)


def sink(folder: Path, rows: int, written: int = 0, positions: Positions | None = None) -> Sink:
    return FORMAT.open(folder, SplitRows("train", rows, None, COLUMNS, written), positions or {})


def whole(folder: Path, rows: list[bytes]) -> bytes:
    one = sink(folder, len(rows))
    one.append(text(rows))
    (file,) = one.finish()
    assert (file.path.name, file.rows) == ("train.parquet", len(rows))
    return file.path.read_bytes()


def test_row_groups_end_with_the_row_that_reaches_the_bound(tmp_path: Path) -> None:
    rows = records(700)
    whole(tmp_path, rows)
    table = pq.ParquetFile(tmp_path / "train.parquet")
    assert table.num_row_groups > 3
    assert [json.loads(row) for row in rows] == [
        {name: value for name, value in row.items() if value is not None} | {"more": json.loads(row["more"])}
        for row in table.read().to_pylist()
    ]
    for number in range(table.num_row_groups - 1):
        group = table.read_row_group(number)
        assert group.slice(0, len(group) - 1).nbytes < 20_000 + 100 <= group.nbytes + 200


@pytest.mark.parametrize("seed", range(4))
def test_it_goes_on_from_any_sync_to_the_same_bytes(tmp_path: Path, seed: int) -> None:
    rows, chance = records(700), random.Random(seed)
    expected = whole(tmp_path / "whole", rows)
    positions: Positions = {}
    begin = 0
    while begin < len(rows):
        part = sink(tmp_path, len(rows), begin, positions)
        for _ in range(chance.randint(0, 4)):
            end = min(begin + chance.randint(1, 90), len(rows))
            part.append(text(rows[begin:end]))
            begin, positions = end, dict(part.sync())
        part.append(text(rows[begin : begin + chance.randint(0, 200)]))  # and is lost
        part.begin_sync()
        part.close()
    for _ in range(2):  # a run that is killed between its last file and its manifest makes it again
        last = sink(tmp_path, len(rows), begin, positions)
        assert [file.path.read_bytes() for file in last.finish()] == [expected]
    assert sorted(path.name for path in tmp_path.glob("train*")) == ["train.parquet", "train.parquet.batches"]


def test_lines_are_logged_once(tmp_path: Path) -> None:
    rows = records(40)
    one = sink(tmp_path, len(rows))
    one.append(text(rows[:3]))
    before = one.sync()["train.parquet.batches"]
    assert one.sync()["train.parquet.batches"] == before  # nothing new is there
    one.append(text(rows[3:4]))
    assert before < one.sync()["train.parquet.batches"] <= before + len(rows[3]) + 32


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_blocks_are_those_of_a_file_of_the_lines(tmp_path: Path, count: int) -> None:
    rows = records(count)
    path = tmp_path / "lines"
    path.write_bytes(b"".join(rows))
    blocks = Blocks(1_500)
    made = []
    for begin in range(0, count, 11):
        made += [block.tobytes() for block in blocks.add(text(rows[begin : begin + 11]))]
    made += [block.tobytes() for block in blocks.rest()]
    assert made == [block.tobytes() for block in blocks_of_lines(path, 1_500)]


@pytest.mark.parametrize("seed", range(2))
def test_columns_make_the_file_of_their_lines(tmp_path: Path, seed: int) -> None:
    chance, columns = random.Random(seed), {"input_ids": "ids", "text": "string", "n": "int64"}
    rows = [
        {
            "input_ids": [chance.randint(-100, 2**31 - 1) for _ in range(size)],
            "text": 'é"\n' * size,
            "n": size or None,
        }
        for size in [chance.randint(0, 90) for _ in range(400)]
    ]

    def opened(folder: Path, positions: Positions, written: int = 0) -> Sink:
        return FORMAT.open(folder, SplitRows("train", len(rows), 150, columns, written), positions)

    lines = opened(tmp_path / "lines", {})
    lines.append(text([json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows]))
    expected = [file.path.read_bytes() for file in lines.finish()]
    batch = pa.RecordBatch.from_pylist(rows, schema_of(columns))
    begin, positions = 0, dict[str, int]()
    while begin < len(rows):
        part = opened(tmp_path, positions, begin)
        end = min(begin + chance.randint(1, 90), len(rows))
        cast(ColumnSink, part).place_columns(batch.slice(begin, end - begin))()
        begin, positions = end, positions | dict(part.sync())
        cast(ColumnSink, part).place_columns(batch.slice(begin))()  # and is lost
        part.close()
    made = opened(tmp_path, positions, begin).finish()
    assert [file.path.read_bytes() for file in made] == expected and len(made) == 3
    assert pq.read_table(tmp_path / "train-00000-of-00003.parquet").to_pylist() == rows[:150]
