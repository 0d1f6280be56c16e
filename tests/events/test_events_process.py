"""`forge prepare --events` in processes of its own, that end in every way a run can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.events import Entry, JobEnded, JobFailed, JobStarted, from_line, read_lines
from forge_gpu.job.events.encode import schema
from tests.job import jobs

FORGE = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()"]
SECRET = "hunter2"
TEXT = "a text of a row"
EVENTS = "events.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan over so many rows that a run can be stopped in its midst."""
    rows = [record | {"output": f"{TEXT} {number}"} for number, record in enumerate(jobs.rows(20_000))]
    jobs.write_lines(tmp_path / "rows.jsonl", rows)
    jobs.write_lines(tmp_path / "bad.jsonl", [*rows[:3], {"instruction": TEXT, "output": None}])
    plan = {
        "data": {
            "inputs": ["rows.jsonl"],
            "mapping": {"query": "instruction", "input": "input", "response": "output"},
        },
        "model": {"chat_template": "chatml", "template_kind": "builtin"},
        "preprocessing": {"streaming_threshold_gb": 0},
    }
    (tmp_path / "forge.yaml").write_text(json.dumps(plan))
    return tmp_path


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*FORGE, "prepare", *arguments], cwd=folder, capture_output=True)


@cache
def known() -> dict[str, Any]:
    return schema()


def parsed(lines: list[bytes]) -> list[Entry]:
    """Every line, held against the schema; those of a run are of one job and numbered without a gap."""
    entries = []
    for line in lines:
        record = json.loads(line)
        assert set(record) == set(known()["line"]) | set(known()["events"][record["event"]])
        assert TEXT.encode() not in line and SECRET.encode() not in line
        entry = from_line(line)
        assert entry is not None
        entries.append(entry)
    return entries


def runs_of(entries: list[Entry]) -> list[list[Entry]]:
    """The entries of each run, in the order in which runs began."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    for run in runs.values():
        assert [entry.n for entry in run] == list(range(len(run)))
        assert len({entry.job for entry in run} - {None}) <= 1
    return list(runs.values())


SLOW = """
import dataclasses, sys, time
from forge_gpu.cli import prepare as command, progress
from forge_gpu.job import index_pass
from forge_gpu.cli.app import main
whole = index_pass.index_range
def slow(workspace, item, chunk_bytes):
    time.sleep(0.05)
    return whole(workspace, item, chunk_bytes)
index_pass.index_range = slow
from forge_gpu.job.state.spec import JobSpec
for field in dataclasses.fields(JobSpec):
    field.default = 8192 if field.default == 16 * 2**20 else field.default
sys.argv = ["forge", "prepare", *sys.argv[1:]]
main()
"""
"""The command with small ranges, each of which takes its time."""


def start(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLOW, *arguments], cwd=folder, **options)


def wait_for(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_stopped_resumed_and_finished_join_by_job_and_run(folder: Path) -> None:
    file = folder / EVENTS

    def chunks(run: int) -> Callable[[], bool]:
        def are_done() -> bool:
            reported = list(read_lines(file.read_bytes().split(b"\n"))) if file.exists() else []
            ids = list(dict.fromkeys(entry.run for entry in reported))
            done = [e for e in reported if type(e.event).__name__ == "ChunkDone" and e.run == ids[-1]]
            return len(ids) == run and len(done) >= 2

        return are_done

    for number, ending in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        process = start(folder, "--quiet", "--threads", "1", "--events", EVENTS, stderr=subprocess.DEVNULL)
        wait_for(chunks(number))
        process.send_signal(ending)
        process.wait()
    assert process.returncode == 143
    assert start(folder, "--quiet", "--events", EVENTS).wait() == 0
    assert start(folder, "--quiet", "--events", EVENTS).wait() == 0

    lines = file.read_bytes().splitlines()
    whole = [line for line in lines if line.endswith(b"}")]
    assert len(lines) - len(whole) <= 1
    killed, stopped, resumed, finished = runs_of(parsed(whole))
    assert len({run[-1].job for run in (killed, stopped, resumed, finished)}) == 1
    assert not isinstance(killed[-1].event, JobEnded | JobFailed)
    assert isinstance(stopped[-1].event, JobFailed)
    assert (stopped[-1].event.exit_code, stopped[-1].event.stage) == (143, "index")
    started = next(entry.event for entry in resumed if isinstance(entry.event, JobStarted))
    assert started.resumed and isinstance(resumed[-1].event, JobEnded)
    assert sum(resumed[-1].event.counts.values()) == 20_000
    assert [type(entry.event).__name__ for entry in finished] == ["JobStarted", "JobEnded"]
    assert isinstance(finished[-1].event, JobEnded) and finished[-1].event.was_finished


@pytest.mark.slow
def test_events_alone_are_on_standard_output(folder: Path) -> None:
    done = prepare(folder, "bad.jsonl", "--events", "-")
    assert done.returncode == 0 and b"4 rows:" in done.stderr
    (run,) = runs_of(parsed(done.stdout.splitlines()))
    assert isinstance(run[-1].event, JobEnded) and run[-1].event.counts["rejected"] == 1

    done = prepare(folder, "bad.jsonl", "--events", "-", "--strict", "--fresh")
    assert done.returncode == 2
    (strict,) = runs_of(parsed(done.stdout.splitlines()))
    assert strict[-1].job == run[-1].job
    assert strict[-1].event == JobFailed("index", "bad.jsonl: line 4 is rejected: null_field", 2)


@pytest.mark.slow
def test_a_run_that_fails_before_it_is_known_which_job_it_is(folder: Path) -> None:
    url = f"memory://me:{SECRET}@bucket/none.jsonl?sig={SECRET}"
    done = prepare(folder, url, "--events", "-", "--quiet")
    assert done.returncode == 2
    (run,) = runs_of(parsed(done.stdout.splitlines()))
    assert isinstance(run[-1].event, JobFailed) and run[-1].job is None
    assert "none.jsonl" in run[-1].event.error


@pytest.mark.slow
def test_a_password_in_the_url_of_an_input_is_in_no_event(folder: Path) -> None:
    code = f"""
import sys, fsspec
with fsspec.open("memory://bucket/rows.jsonl", "wb") as file:
    file.write(open("bad.jsonl", "rb").read())
from fsspec.implementations.memory import MemoryFileSystem
from forge_gpu.cli.app import main
plain = MemoryFileSystem._strip_protocol
def without(path):
    return plain(path.replace("me:{SECRET}@", "").partition("?")[0])
MemoryFileSystem._strip_protocol = staticmethod(without)
sys.argv = ["forge", "prepare", "memory://me:{SECRET}@bucket/rows.jsonl?sig={SECRET}", "--events", "-"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    (run,) = runs_of(parsed(done.stdout.splitlines()))
    started = run[0].event
    assert isinstance(started, JobStarted)
    assert started.spec["config"]["data"]["inputs"] == ["memory://bucket/rows.jsonl"]
    assert SECRET.encode() not in (folder / "prepared" / "manifest.json").read_bytes()


@pytest.mark.slow
def test_a_full_disk_or_a_reader_that_has_gone_does_not_end_the_job(folder: Path) -> None:
    done = prepare(folder, "bad.jsonl", "--events", "/dev/full", "--quiet")
    assert done.returncode == 0
    reported = "the events file /dev/full gets no more events, and the job goes on: No space left on device"
    assert f"warning: {reported}" in done.stderr.decode()
    reading, writing = os.pipe()
    os.close(reading)
    process = start(folder, "bad.jsonl", "--fresh", "--events", "-", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert b"Broken pipe" in process.communicate()[1] and process.returncode == 0
    manifest = json.loads((folder / "prepared/manifest.json").read_bytes())
    assert any("Broken pipe" in warning for warning in manifest["run"]["warnings"])


def test_one_option_has_standard_output(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from forge_gpu.cli.app import _run

    assert _run(["prepare", "--events", "-", "--json"], debug=False) == 2
    reported = "error: --events and --json: only one of them may write to standard output\n"
    assert capfd.readouterr() == ("", reported)


def test_a_file_of_rows_is_not_written_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forge_gpu.cli.app import _run

    monkeypatch.chdir(folder)
    before = (folder / "bad.jsonl").read_bytes()
    assert _run(["prepare", "--events", "bad.jsonl"], debug=False) == 2
    assert (folder / "bad.jsonl").read_bytes() == before
