"""Outputs: whole or not there, resumable at any position, the same bytes however they were cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import OutputError
from forge_gpu.io import parquet_sink
from forge_gpu.io.atomic import inside, make_folder, write_atomic
from forge_gpu.io.disk import free_space, require_space, size_text
from forge_gpu.io.parquet_sink import ParquetSink
from forge_gpu.io.sinks import JsonlSink, ShardedJsonl, ShardPosition, shard_names, stale_outputs


def lines_of(rows: list[int]) -> tuple[Any, Any]:
    texts = [b"%d\n" % row for row in rows]
    return np.frombuffer(b"".join(texts) + bytes(64), np.uint8), np.cumsum([0, *map(len, texts)])


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "train.jsonl"
    sink = JsonlSink(path)
    sink.write(b"one\n")
    sink.sync()
    kept = sink.position()
    sink.write(memoryview(b"two\n"))
    sink.close()
    assert not path.exists()
    sink = JsonlSink(path, kept)
    sink.write(np.frombuffer(b"three\n", np.uint8))
    sink.commit()
    assert path.read_bytes() == b"one\nthree\n" and [p.name for p in path.parent.iterdir()] == ["train.jsonl"]
    with pytest.raises(OutputError, match="shorter than its checkpoint"):
        JsonlSink(path, 4)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 40), st.none() | st.integers(1, 50), st.lists(st.integers(0, 9), max_size=20), st.data()
)
def test_shards(rows: int, per_shard: int | None, cuts: list[int], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        done, position = 0, ShardPosition()
        sink = ShardedJsonl(Path(folder), "train", rows, per_shard)
        for cut in [*cuts, rows]:
            stop = min(rows, done + cut)
            sink.write(*lines_of(list(range(done, stop))))
            action = data.draw(st.sampled_from(["go on", "checkpoint", "crash"]))
            if action == "checkpoint":
                sink.sync()
                position = sink.position()
            if action == "crash" and stop < rows:
                sink.close()
                sink = ShardedJsonl(Path(folder), "train", rows, per_shard, position)
                stop = position.rows
            done = stop
        sink.write(*lines_of(list(range(done, rows))))
        paths = sink.commit()
        assert [path.name for path in paths] == shard_names("train", ".jsonl", rows, per_shard)
        assert sorted(path.name for path in Path(folder).iterdir()) == [path.name for path in paths]
        for i, path in enumerate(paths):
            size = per_shard or rows
            expected = range(i * size, min(rows, (i + 1) * size))
            assert path.read_text().split() == [str(row) for row in expected]


def test_a_commit_can_be_done_again(tmp_path: Path) -> None:
    sink = ShardedJsonl(tmp_path, "train", 5, 2)
    sink.write(*lines_of(list(range(5))))
    sink.sync()
    (tmp_path / "train-00000-of-00003.jsonl.partial").rename(tmp_path / "train-00000-of-00003.jsonl")
    position = sink.position()
    sink.close()
    again = ShardedJsonl(tmp_path, "train", 5, 2, position)
    assert [path.read_text() for path in again.commit()] == ["0\n1\n", "2\n3\n", "4\n"]


def test_a_wrong_number_of_rows_is_no_split(tmp_path: Path) -> None:
    sink = ShardedJsonl(tmp_path, "train", 3)
    with pytest.raises(ValueError, match="4 rows for a split of 3"):
        sink.write(*lines_of([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="0 rows for a split of 3"):
        sink.commit()


def test_stale_outputs(tmp_path: Path) -> None:
    stale = [
        "train.jsonl",
        "train-00001-of-00002.jsonl",
        "train.parquet",
        "train-00001-of-00002.jsonl.partial",
    ]
    for name in [*stale, "train-00000-of-00001.jsonl", "training.jsonl", "train.txt", "train-1.jsonl"]:
        (tmp_path / name).touch()
    found = stale_outputs(tmp_path, "train", (".jsonl", ".parquet"), ["train-00000-of-00001.jsonl"])
    assert sorted(path.name for path in found) == sorted(stale)


SCHEMA = pa.schema([("text", pa.large_string()), ("n", pa.int64())])


def batches(begin: int, end: int, step: int) -> list[pa.RecordBatch]:
    rows = [{"text": "é" * (i % 50), "n": i} for i in range(begin, end)]
    return [pa.RecordBatch.from_pylist(rows[i : i + step], SCHEMA) for i in range(0, len(rows), step)]


@pytest.mark.parametrize("per_shard", [None, 1000, 100, 10_000])
def test_parquet_bytes_depend_on_the_rows_alone(
    tmp_path: Path, per_shard: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_sink, "ROWS_PER_GROUP", 300)
    monkeypatch.setattr(parquet_sink, "BYTES_PER_GROUP", 13_000)
    written = []
    for name, step, cuts in (
        ("a", 7, [0, 2500]),
        ("b", 1000, [0, 1, 999, 2500]),
        ("c", 64, [0, 0, 2000, 2500]),
    ):
        sink = ParquetSink(tmp_path / name, "train", SCHEMA, tmp_path / "work" / name, per_shard)
        for number in range(len(cuts) - 1):
            assert not sink.has(number)
            sink.write(number, batches(cuts[number], cuts[number + 1], step))
            assert sink.has(number)
        paths = sink.commit(len(cuts) - 1)
        assert sink.commit(len(cuts) - 1) == paths
        sink.clear()
        assert list((tmp_path / "work" / name).iterdir()) == []
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [path.name for path in paths]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1] == written[2]
    tables = [pq.read_table(path) for path in paths]
    assert pa.concat_tables(tables).column("n").to_pylist() == list(range(2500))
    if per_shard is None:
        metadata = pq.read_metadata(paths[0])
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        assert all(group.num_rows <= 300 for group in groups) and any(
            group.num_rows < 299 for group in groups[:-1]
        )
    else:
        assert [len(table) for table in tables[:-1]] == [per_shard] * (len(tables) - 1)


def test_parquet_without_rows(tmp_path: Path) -> None:
    (path,) = ParquetSink(tmp_path, "test", SCHEMA, tmp_path / "work", 10).commit(0)
    assert path.name == "test-00000-of-00001.parquet" and pq.read_schema(path) == SCHEMA


def test_a_missing_segment(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path, "train", SCHEMA, tmp_path / "work")
    with pytest.raises(OutputError, match=r"train-00000000\.arrow: is missing"):
        sink.commit(1)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import pyarrow as pa
from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import write_atomic
from forge_gpu.io.parquet_sink import ParquetSink
from forge_gpu.io.sinks import JsonlSink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
sink = JsonlSink(folder / "train.jsonl")
sink.write(b"x" * 3000)
sink.sync()
parquet = ParquetSink(folder, "train", pa.schema([("t", pa.string())]), folder / "work")
batch = pa.RecordBatch.from_pylist([{"t": "x" * 9000}])
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for act in (
    lambda: sink.write(b"y" * 3000),
    lambda: parquet.write(0, [batch]),
    lambda: write_atomic(folder / "m.json", b"z" * 9000),
):
    try:
        act()
    except OutputError as fault:
        print(fault)
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith(f"{tmp_path}: no space left to write train.jsonl, 1000 bytes more are needed")
    assert all("no space left" in line and "run the same command again" in line for line in lines)
    assert not (tmp_path / "m.json").exists() and not (tmp_path / "m.json.partial").exists()
    sink = JsonlSink(tmp_path / "train.jsonl", 3000)  # what was synced is a checkpoint still
    sink.write(b"\n")
    sink.commit()
    assert (tmp_path / "train.jsonl").read_bytes() == b"x" * 3000 + b"\n"


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomic(path, "é")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomic(tmp_path / "gone" / "manifest.json", "x")


def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "out")
    (folder / "link").symlink_to(tmp_path)
    assert inside(folder, "sub/train.jsonl") == folder / "sub" / "train.jsonl"
    for name in ("../x", "/etc/passwd", "link/x", "", ".", "a/../../x", "a\0b"):
        with pytest.raises(OutputError):
            inside(folder, name)
    (folder / "train.jsonl.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError):
        JsonlSink(folder / "train.jsonl")
    assert not (tmp_path / "victim").exists()


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        make_folder(tmp_path / "out")
    with pytest.raises(OutputError):
        make_folder(tmp_path / "out" / "sub")


def test_space(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "yet") > 0
    require_space(tmp_path, 1, "this")
    with pytest.raises(OutputError, match=r"this needs 8388608\.0 TiB, .* are free"):
        require_space(tmp_path, 2**63, "this")
    assert [size_text(n) for n in (0, 1023, 1024, 1536 * 2**20)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 GiB",
    ]
