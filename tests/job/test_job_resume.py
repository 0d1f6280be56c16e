"""A job that is stopped, killed or disturbed, and goes on to the same bytes."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import InputError, Interrupted, OutputError
from forge_gpu.io.kept import KeptRows
from forge_gpu.io.lock import FolderLock
from forge_gpu.job.events.events import ChunkDone, Event, Progressed, Warned
from forge_gpu.job.state.checkpoint import Checkpoint
from tests.job import jobs

ROOT = Path(__file__).parents[2]
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "sharded": {"output": {"rows_per_shard": 70}},
    "shuffled": {"output": {"order": "shuffled"}},
    "parquet": {"output": {"format": "parquet", "columns": ["category"]}},
    "parquet in shards": {"output": {"format": "parquet", "rows_per_shard": 70}},
    "parquet shuffled": {"output": {"format": "parquet", "order": "shuffled"}},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    lines = jobs.rows(400)
    lines[37] = {"instruction": "no answer"}
    return jobs.write_lines(tmp_path / "rows.jsonl", lines)


class Stopper:
    """A listener that asks for a stop after so many chunks."""

    def __init__(self, chunks: int) -> None:
        self.left = chunks

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChunkDone):
            self.left -= 1

    def check(self) -> None:
        if self.left <= 0:
            raise Interrupted(signal.SIGINT)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stopped_job_goes_on_to_the_same_bytes(shape: str, source: Path, tmp_path: Path) -> None:
    config = jobs.plan(source, **SHAPES[shape])
    jobs.run(config, tmp_path / "whole")
    for chunks in (1, 5, 12, 17):
        output = tmp_path / f"stopped-{chunks}"
        stopper = Stopper(chunks)
        with pytest.raises(Interrupted):
            jobs.run(config, output, listener=stopper, check_stop=stopper.check)
        assert not (output / "manifest.json").exists()
        jobs.run(config, output, threads=1 + chunks % 2, chunk_bytes=1000)
        assert jobs.content(output) == jobs.content(tmp_path / "whole")
        assert not list(output.glob("*.partial"))


def test_rows_kept_from_the_first_pass_make_no_difference(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "rows.parquet"
    rows = [json for json in map(orjson.loads, source.read_bytes().splitlines()) if len(json) > 1]
    pq.write_table(pa.Table.from_pylist(rows), table, row_group_size=40)
    config, folders = jobs.plan(table, **SHAPES["parquet"]), []
    seal = KeptRows.seal

    def noted(kept: KeptRows) -> None:
        folders.append([path.name for path in kept._path.parent.iterdir()])
        seal(kept)

    monkeypatch.setattr(KeptRows, "seal", noted)
    monkeypatch.setattr("forge_gpu.job.output.space.is_in_memory", lambda folder: False)
    jobs.run(config, tmp_path / "whole")
    assert [name.startswith("decoded.") for name in folders.pop()] == [True]
    for chunks in (2, 12):  # in the first pass, and in the second, which a new run has nothing kept for
        stopper = Stopper(chunks)
        with pytest.raises(Interrupted):
            jobs.run(config, tmp_path / "out", listener=stopper, check_stop=stopper.check)
    jobs.run(config, tmp_path / "out", threads=2)
    assert folders[-1] == []
    monkeypatch.setattr("forge_gpu.job.output.space.room_to_keep", lambda *_: 0)
    jobs.run(config, tmp_path / "twice")
    assert folders[-1] == []
    for name in ("out", "twice"):
        assert jobs.content(tmp_path / name) == jobs.content(tmp_path / "whole")


RUN = """
import time
from tests.job import jobs
from pathlib import Path
from forge_gpu.job import block_pass
block_pass.SAVE_EVERY = 0.01
config = jobs.plan(Path({source!r}), **{sections!r})
print("ready", flush=True)
jobs.run(config, Path({output!r}), threads={threads}, listener=lambda event: time.sleep(0.004))
"""


def test_a_torn_index_is_made_again(source: Path, tmp_path: Path) -> None:
    config = jobs.plan(source)
    jobs.run(config, tmp_path / "whole")
    output = tmp_path / "torn"
    stopper = Stopper(5)
    with pytest.raises(Interrupted):
        jobs.run(config, output, listener=stopper, check_stop=stopper.check)
    torn, emptied, *_ = sorted((output / ".forge/index").glob("*.index"))
    torn.write_bytes(torn.read_bytes()[:-20])
    emptied.write_bytes(bytes(emptied.stat().st_size))
    jobs.run(config, output)
    assert jobs.content(output) == jobs.content(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_killed_job_goes_on_to_the_same_bytes(shape: str, source: Path, tmp_path: Path) -> None:
    config = jobs.plan(source, **SHAPES[shape])
    jobs.run(config, tmp_path / "whole")
    chance = random.Random(shape)
    output = tmp_path / "killed"
    kills = 0
    for _ in range(4):
        script = RUN.format(
            source=str(source),
            sections=SHAPES[shape],
            output=str(output),
            threads=chance.choice([1, 2]),
        )
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.02, 0.5))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    jobs.run(config, output)
    assert kills
    assert jobs.content(output) == jobs.content(tmp_path / "whole")


def test_a_finished_job_returns_at_once(source: Path, tmp_path: Path) -> None:
    first = jobs.run(jobs.plan(source), tmp_path / "out")
    events: list[Event] = []
    again = jobs.run(jobs.plan(source), tmp_path / "out", listener=events.append)
    assert again.was_finished
    assert [type(event).__name__ for event in events] == ["JobStarted", "JobEnded"]
    assert again.counts == first.counts
    (tmp_path / "out/train.jsonl").write_text("")
    third = jobs.run(jobs.plan(source), tmp_path / "out", listener=events.append)
    assert not third.was_finished
    assert any(isinstance(event, Warned) and "output files changed" in event.message for event in events)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preprocessing": {"seed": 1}}, "settings that affect the output"),
        ({"model": {"chat_template": "vicuna", "template_kind": "builtin"}}, "the chat template"),
    ],
)
def test_a_changed_plan_starts_anew_and_says_why(
    change: dict, words: str, source: Path, tmp_path: Path
) -> None:
    stopper = Stopper(20)
    with pytest.raises(Interrupted):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=stopper, check_stop=stopper.check)
    events: list[Event] = []
    jobs.run(jobs.plan(source, **change), tmp_path / "out", listener=events.append)
    assert any(isinstance(event, Warned) and words in event.message for event in events)
    jobs.run(jobs.plan(source, **change), tmp_path / "new")
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "new")


def test_engine_threads_and_memory_are_no_reason_to_start_anew(source: Path, tmp_path: Path) -> None:
    stopper = Stopper(20)
    with pytest.raises(Interrupted):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=stopper, check_stop=stopper.check)
    other = jobs.plan(source, preprocessing={"memory": {"threads": 2}, "chunk_size": 10})
    events: list[Event] = []
    result = jobs.run(other, tmp_path / "out", listener=events.append)
    assert result.manifest["run"]["resumed"]
    assert not any(isinstance(event, Warned) for event in events)


def test_a_changed_input_starts_anew(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source), tmp_path / "out")
    with source.open("a") as file:
        file.write('{"instruction": "one more", "output": "answer"}\n')
    events: list[Event] = []
    result = jobs.run(jobs.plan(source), tmp_path / "out", listener=events.append)
    assert sum(result.counts.values()) == 401
    assert any(isinstance(event, Warned) and "the input files" in event.message for event in events)


def test_one_byte_that_changes_between_the_passes_ends_the_run(source: Path, tmp_path: Path) -> None:
    data = source.read_bytes()
    at = data.rindex(b"word", 0, len(data) // 2)

    def change(event: Event) -> None:
        if event.stage == "decide":
            status = source.stat()
            source.write_bytes(data[:at] + b"W" + data[at + 1 :])
            os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(InputError, match="changed while it was read"):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=change)


def test_a_second_run_is_told_who_holds_the_folder(source: Path, tmp_path: Path) -> None:
    with FolderLock(tmp_path / "out"), pytest.raises(OutputError, match=f"process {os.getpid()}"):
        jobs.run(jobs.plan(source), tmp_path / "out", wait=0)


def test_shards_of_an_earlier_plan_are_removed(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source, output={"rows_per_shard": 50}), tmp_path / "out")
    jobs.run(jobs.plan(source), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jsonl")) == [
        "rejected.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]


def test_the_checkpoint_of_another_version_starts_anew_and_says_why(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source), tmp_path / "whole")
    stopper = Stopper(20)
    with pytest.raises(Interrupted):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=stopper, check_stop=stopper.check)
    state_file = tmp_path / "out/.forge/job.json"
    state = orjson.loads(state_file.read_bytes())
    state["key"]["version"] = "0.1.0"
    state["kept_by_that_version"] = state.pop("written_blocks")
    state_file.write_bytes(orjson.dumps(state))
    events: list[Event] = []
    jobs.run(jobs.plan(source), tmp_path / "out", listener=events.append)
    reported = [event.message for event in events if isinstance(event, Warned)]
    assert reported == ["starting anew: the version of Forge changed since the last run"]
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


def test_a_damaged_checkpoint_starts_anew(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source), tmp_path / "whole")
    stopper = Stopper(8)
    with pytest.raises(Interrupted):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=stopper, check_stop=stopper.check)
    (tmp_path / "out/.forge/job.json").write_text("{")
    jobs.run(jobs.plan(source), tmp_path / "out")
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("stage", "what"), [("decide", "split"), ("finish", "ledger"), ("finish", "shuffle")]
)
def test_a_job_stops_within_its_decisions_and_its_end(
    stage: str, what: str, source: Path, tmp_path: Path
) -> None:
    config = jobs.plan(source, output={"order": "shuffled"})
    asked: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, Progressed) and (event.stage, event.what) == (stage, what):
            asked.append(event)

    def check() -> None:
        if asked:
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        jobs.run(config, tmp_path / "out", listener=listen, check_stop=check)
    assert len(asked) == 1 and not (tmp_path / "out/manifest.json").exists()
    jobs.run(config, tmp_path / "out")
    jobs.run(config, tmp_path / "whole")
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_a_checkpoint_notes_is_written_whatever_is_written_meanwhile(
    threads: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = jobs.plan(source)
    jobs.run(config, tmp_path / "whole")
    chance, write, save = random.Random(threads), os.pwrite, Checkpoint.save
    noted: list[dict[str, bytes]] = []

    def late(descriptor: int, data: bytes, offset: int) -> int:
        time.sleep(chance.choice([0, 0, 0.003]))
        return write(descriptor, data, offset)

    def kept(checkpoint: Checkpoint) -> None:
        sizes = checkpoint.state.positions
        noted.append({name: (tmp_path / "out" / name).read_bytes()[:size] for name, size in sizes.items()})
        save(checkpoint)

    stopper = Stopper(60)
    with monkeypatch.context() as patched:
        patched.setattr("forge_gpu.job.block_pass.SAVE_EVERY", 0.0)
        patched.setattr("forge_gpu.job.state.index.BLOCK_BYTES", 1)
        patched.setattr(os, "pwrite", late)
        patched.setattr(Checkpoint, "save", kept)
        with pytest.raises(Interrupted):
            jobs.run(config, tmp_path / "out", threads, 1000, listener=stopper, check_stop=stopper.check)
    assert len(noted) > 5 and any(noted[-1].values())
    for files in noted:
        for name, begin in files.items():
            assert (tmp_path / "whole" / name.removesuffix(".partial")).read_bytes().startswith(begin)
    jobs.run(config, tmp_path / "out", threads)
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_write_that_fails_out_of_turn_is_told_and_nothing_behind_it_is_noted(
    threads: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = jobs.plan(source)
    jobs.run(config, tmp_path / "whole")
    writes, write = count(), os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if next(writes) == 9:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr("forge_gpu.job.block_pass.SAVE_EVERY", 0.0)
        patched.setattr("forge_gpu.job.state.index.BLOCK_BYTES", 1)
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OutputError, match="no space left to write"):
            jobs.run(config, tmp_path / "out", threads, 1000)
    jobs.run(config, tmp_path / "out", threads)
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")
