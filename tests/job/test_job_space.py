"""Room on the disk: asked for before the input is read, and again before the output is written."""

from __future__ import annotations

import os
import re
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import Interrupted, OutputError
from forge_gpu.io.disk import size_text
from forge_gpu.job.events.events import ChunkDone, Event, StageDone, StageStarted
from forge_gpu.job.output import space
from forge_gpu.job.output.space import room_to_keep
from tests.job import jobs

Usage = namedtuple("Usage", "total used free")


class Disk:
    """A disk with so many bytes free, or fewer once a stage is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.free = free
        self.after: dict[str, int] = {}
        self.stages: list[str] = []
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, self.free))

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageDone):
            self.stages.append(event.stage)
            self.free = self.after.get(event.stage, self.free)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(400))


def test_a_disk_too_small_is_told_before_anything_is_read(source, tmp_path, monkeypatch) -> None:
    room = Disk(monkeypatch, source.stat().st_size)
    with pytest.raises(OutputError, match=r"out: preparing this input needs .* KiB, .* are free; free some"):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=room)
    assert room.stages == ["open"]
    room.free = 2 * source.stat().st_size
    jobs.run(jobs.plan(source), tmp_path / "out", listener=room)


def test_a_transform_asks_for_room_in_the_spool_until_it_is_there(source, tmp_path, monkeypatch) -> None:
    script = tmp_path / "transform.py"
    script.write_text("def transform(row):\n    return row\n")
    data = {"inputs": [str(source)], "transform": {"script": str(script)}}
    room = Disk(monkeypatch, source.stat().st_size * 2)
    with pytest.raises(OutputError, match="preparing this input needs"):
        jobs.run(jobs.plan(source, data=data), tmp_path / "out", listener=room)
    room.free *= 2
    with pytest.raises(Interrupted):
        jobs.run(jobs.plan(source, data=data), tmp_path / "out", **jobs.stop_after(9))
    room.free //= 2
    jobs.run(jobs.plan(source, data=data), tmp_path / "out", listener=room)


def test_rows_that_a_transform_lets_grow_ask_for_more_room_to_be_written(
    source, tmp_path, monkeypatch
) -> None:
    script = tmp_path / "transform.py"
    script.write_text("def transform(row):\n    return [{**row, 'output': str(n) * 800} for n in range(5)]\n")
    data = {"inputs": [str(source)], "transform": {"script": str(script)}}
    room = Disk(monkeypatch, 10**9)
    room.after["decide"] = 2 * source.stat().st_size  # enough for rows that stay as they are
    with pytest.raises(OutputError, match="writing the output needs"):
        jobs.run(jobs.plan(source, data=data), tmp_path / "out", listener=room)
    room.free, room.after = 10**9, {}
    result = jobs.run(jobs.plan(source, data=data), tmp_path / "out", listener=room)
    assert result.manifest["run"]["resumed"]


@pytest.mark.parametrize(
    "more",
    [
        {"output": {"order": "shuffled"}},
        {"output": {"format": "parquet"}},
        {"preprocessing": {"dedup": {"near": {}}}},
    ],
)
def test_what_takes_more_room_asks_for_more(more, source, tmp_path, monkeypatch) -> None:
    room = Disk(monkeypatch, source.stat().st_size * 3 // 2)
    jobs.run(jobs.plan(source), tmp_path / "plain", listener=room)
    with pytest.raises(OutputError, match="preparing this input needs"):
        jobs.run(jobs.plan(source, **more), tmp_path / "out", listener=room)


def test_it_is_asked_for_again_before_the_output_is_written(source, tmp_path, monkeypatch) -> None:
    room = Disk(monkeypatch, 10**9)
    room.after["decide"] = 100
    with pytest.raises(OutputError, match=r"out: writing the output needs .* 100 bytes are free"):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=room)
    assert room.stages[-1] == "decide"
    room.free, room.after = 10**9, {}
    result = jobs.run(jobs.plan(source), tmp_path / "out", listener=room)
    assert result.manifest["run"]["resumed"]


def test_the_first_rows_of_a_large_input_need_little_room(source, tmp_path, monkeypatch) -> None:
    room = Disk(monkeypatch, 30_000)
    jobs.run(jobs.plan(source), tmp_path / "out", listener=room, limit=5)
    with pytest.raises(OutputError):
        jobs.run(jobs.plan(source), tmp_path / "all", listener=room)


def test_what_a_stopped_run_left_is_not_asked_for_twice(source, tmp_path, monkeypatch) -> None:
    room = Disk(monkeypatch, 10**9)
    room.after["decide"] = 100
    with pytest.raises(OutputError):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=room)
    index = sum(path.stat().st_size for path in (tmp_path / "out/.forge/index").iterdir())
    room.after = {}
    with pytest.raises(OutputError) as new:
        room.free = 100
        jobs.run(jobs.plan(source), tmp_path / "new", listener=room)
    with pytest.raises(OutputError) as resumed:
        jobs.run(jobs.plan(source), tmp_path / "out", listener=room)
    needs = [float(str(error.value).split("needs ")[1].split()[0]) for error in (new, resumed)]
    assert needs[0] - needs[1] == pytest.approx(index / 1024, abs=0.2)
    shutil.rmtree(tmp_path / "new")


def stop_while_writing(event: Event) -> None:
    if isinstance(event, ChunkDone) and event.stage == "write":
        raise OSError("the disk is gone")


@pytest.mark.parametrize("order", ["input", "shuffled"])
def test_what_was_written_after_the_last_checkpoint_takes_no_room(order, source, tmp_path) -> None:
    config = jobs.plan(source, output={"order": order})
    out = tmp_path / "out"
    jobs.run(config, tmp_path / "whole")
    with pytest.raises(OSError, match="the disk is gone"):
        jobs.run(config, out, listener=stop_while_writing)
    left = [path for path in out.rglob("*.partial") if path.stat().st_size]
    assert left and not [link for link in Path("/proc/self/fd").iterdir() if opens_below(link, out)]
    (out / "notes.partial").write_text("mine")

    sizes: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "index":
            sizes.extend(path.stat().st_size for path in left if path.exists())

    jobs.run(config, out, listener=look)
    assert not any(sizes) and (out / "notes.partial").read_text() == "mine"
    (out / "notes.partial").unlink()
    assert jobs.content(out) == jobs.content(tmp_path / "whole")


def opens_below(link: Path, folder: Path) -> bool:
    """Whether a descriptor of this process is of a file below a folder."""
    try:
        return Path(os.readlink(link)).is_relative_to(folder)
    except OSError:
        return False


def test_a_copy_of_decoded_input_takes_what_nothing_else_needs(source, tmp_path, monkeypatch) -> None:
    table, room, asked = tmp_path / "rows.parquet", Disk(monkeypatch, 10**8), []
    pq.write_table(pa.table({"instruction": [f"row {i}" for i in range(400)], "output": ["x"] * 400}), table)

    def noted(folder: Path, needed: int) -> int:
        asked.append(needed)
        return room_to_keep(folder, needed)

    monkeypatch.setattr(space, "room_to_keep", noted)
    monkeypatch.setattr(space, "is_in_memory", lambda path: False)
    jobs.run(jobs.plan(source), tmp_path / "lines", listener=room)
    assert asked == []  # nothing of it is decoded
    jobs.run(jobs.plan(table), tmp_path / "out", listener=room)
    [needed] = asked
    room.free = needed - 1
    with pytest.raises(OutputError, match=f"needs {re.escape(size_text(needed))}"):
        jobs.run(jobs.plan(table), tmp_path / "little", listener=room)
    assert room_to_keep(tmp_path, needed) == 0
    room.free = needed + 5000
    assert room_to_keep(tmp_path, needed) == 5000
    monkeypatch.setattr(space, "read_memory", lambda: SimpleNamespace(available=800))
    assert room_to_keep(tmp_path, needed) == 100
    monkeypatch.setattr(space, "is_in_memory", lambda path: True)
    assert room_to_keep(tmp_path, needed) == 0
