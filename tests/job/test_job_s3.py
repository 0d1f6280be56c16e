"""Input from and output to a store over S3's protocol: the same bytes, whole or not there."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from forge_gpu.errors import ForgeError, InputError, Interrupted, OutputError
from forge_gpu.io import faults, upload
from forge_gpu.job.events.events import ChunkDone, Event, Retried
from forge_gpu.job.output.publish import place_of
from tests.io.faulty import faulty
from tests.job import jobs
from tests.job.s3 import SECRET, Server, s3_server

ROOT = Path(__file__).parents[2]
ROWS = jobs.rows(300, seed=4)
SHARDED = {"output": {"rows_per_shard": 60, "order": "shuffled"}}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "in.jsonl", [*ROWS, {"instruction": "no answer"}])


def on_store(server: Server, folder: str, tmp_path: Path) -> dict[str, str]:
    """What jobs.content says of a folder of the store."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in server.names(folder):
        (copy / name).write_bytes(server.get(f"{folder}/{name}"))
    return jobs.content(copy)


def files_of_every_kind() -> dict[str, bytes]:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    table = pa.Table.from_pylist([{key: str(value) for key, value in row.items()} for row in ROWS])
    parquet = pa.BufferOutputStream()
    pq.write_table(table, parquet, row_group_size=50)
    return {
        "in.jsonl": lines,
        "in.json": json.dumps(ROWS, indent=1).encode(),
        "in.jsonl.gz": gzip.compress(lines),
        "in.jsonl.zst": zstandard.compress(lines),
        "in.parquet": parquet.getvalue().to_pybytes(),
    }


@pytest.mark.parametrize("name", files_of_every_kind())
def test_input_of_every_kind(server: Server, tmp_path: Path, name: str) -> None:
    data = files_of_every_kind()[name]
    (tmp_path / name).write_bytes(data)
    here = jobs.run(jobs.plan(tmp_path / name), tmp_path / "here")
    url = server.put(f"kinds/{name}", data)
    there = jobs.run(jobs.plan(url), tmp_path / "there")
    assert there.counts == here.counts and there.counts["train"] > 200
    for split in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "there" / split).read_bytes() == (tmp_path / "here" / split).read_bytes()
    assert there.manifest["inputs"][0]["path"] == url


def test_what_the_store_holds_is_asked_anew(server: Server, tmp_path: Path) -> None:
    """The store's package remembers what it was told; a second job in the same process must not."""
    url = server.put("anew/in.jsonl", files_of_every_kind()["in.jsonl"])
    for inputs in (url, "s3://bucket/anew"):
        assert not jobs.run(jobs.plan(inputs), tmp_path / "out").was_finished
        assert jobs.run(jobs.plan(inputs), tmp_path / "out").was_finished
        server.put("anew/in.jsonl", server.get("anew/in.jsonl") + b"\n")
        assert not jobs.run(jobs.plan(inputs), tmp_path / "out").was_finished
        shutil.rmtree(tmp_path / "out")


def test_a_folder_and_a_glob(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number, name in enumerate(("a.jsonl", "b.jsonl")):
        rows = ROWS[150 * number : 150 * number + 150]
        server.put(f"set/{name}", jobs.write_lines(tmp_path / "set" / name, rows).read_bytes())
    server.put("set/README.md", b"# not data")
    jobs.run(jobs.plan(tmp_path / "set"), tmp_path / "here")
    for number, url in enumerate(("s3://bucket/set", "s3://bucket/set/", "s3://bucket/set/*.jsonl")):
        jobs.run(jobs.plan(url), tmp_path / f"there{number}")
        assert (tmp_path / f"there{number}/train.jsonl").read_bytes() == (
            tmp_path / "here/train.jsonl"
        ).read_bytes()


@pytest.mark.parametrize(
    ("folder", "sections"),
    [("plain", {}), ("sharded", SHARDED), ("tables", {"output": {"format": "parquet"}})],
)
def test_output_is_moved_to_the_store(
    server: Server, source: Path, tmp_path: Path, folder: str, sections: dict
) -> None:
    config = jobs.plan(source, **sections)
    here = jobs.run(config, tmp_path / "here")
    events: list[Event] = []
    there = jobs.run(
        config, tmp_path / "staged", destination=f"s3://bucket/{folder}", threads=2, listener=events.append
    )
    assert on_store(server, folder, tmp_path) == jobs.content(tmp_path / "here")
    assert {path.name for path in (tmp_path / "staged").iterdir()} == {".forge", "manifest.json"}
    assert not server.unfinished()
    for name, split in here.splits.items():
        assert there.splits[name].to_arrow() == split.to_arrow()
    assert str(there.rejected_path) == f"s3://bucket/{folder}/rejected.jsonl"
    sent = sum(e.bytes for e in events if isinstance(e, ChunkDone) and e.stage == "upload")
    made = [path for path in (tmp_path / "here").iterdir() if path.is_file() and path.name != "manifest.json"]
    assert sent == sum(path.stat().st_size for path in made)

    again: list[Event] = []
    finished = jobs.run(
        config, tmp_path / "staged", destination=f"s3://bucket/{folder}", listener=again.append
    )
    assert finished.was_finished and finished.splits["train"].rows == here.splits["train"].rows
    assert not any(isinstance(event, ChunkDone) for event in again)

    server.put(f"{folder}/ledger.parquet", b"not what was written")
    assert not jobs.run(config, tmp_path / "staged", destination=f"s3://bucket/{folder}").was_finished
    (tmp_path / "copy").rename(tmp_path / "first copy")
    assert on_store(server, folder, tmp_path) == jobs.content(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.dask
def test_input_and_output_by_two_workers(server: Server, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    one, two = (
        server.put("both/one.jsonl", source.read_bytes()),
        server.put("both/two.jsonl.gz", gzip.compress(source.read_bytes().replace(b"Task", b"Job"))),
    )
    config = jobs.plan(one, two, output={"order": "shuffled"})
    jobs.run(config, tmp_path / "here")
    jobs.run(config, tmp_path / "staged", destination="s3://bucket/workers", workers=2)
    assert on_store(server, "workers", tmp_path) == jobs.content(tmp_path / "here")


class Stopper:
    """Stops a job when so many chunks of a stage are done."""

    def __init__(self, stage: str, chunks: int) -> None:
        self.stage, self.left = stage, chunks

    def __call__(self, event: Event) -> None:
        self.left -= isinstance(event, ChunkDone) and event.stage == self.stage

    def check(self) -> None:
        if self.left <= 0:
            raise Interrupted(2)


def test_stopped_in_each_stage_and_resumed(server: Server, source: Path, tmp_path: Path) -> None:
    """A finished output of another job is at the URL: it is gone before the first file changes."""
    config = jobs.plan(source, **SHARDED)
    jobs.run(config, tmp_path / "here")
    url = "s3://bucket/stopped"
    jobs.run(jobs.plan(source), tmp_path / "old", destination=url)
    assert {"manifest.json", "train.jsonl"} <= server.names("stopped")

    for stage, least in (("index", 2), ("write", 2), ("upload", 3)):
        stopper = Stopper(stage, least)
        with pytest.raises(Interrupted):
            jobs.run(config, tmp_path / "staged", destination=url, listener=stopper, check_stop=stopper.check)
        assert ("manifest.json" in server.names("stopped")) == (stage != "upload")
    assert "train.jsonl" not in server.names("stopped")
    done = jobs.run(config, tmp_path / "staged", destination=url)
    assert done.manifest["run"]["resumed"] and not done.was_finished
    assert on_store(server, "stopped", tmp_path) == jobs.content(tmp_path / "here")


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.job import jobs
from forge_gpu.io import upload
from forge_gpu.job.events.events import ChunkDone
upload.PART = 5 * 2**20
parts = 0
def listen(event):
    global parts
    parts += isinstance(event, ChunkDone) and event.stage == "upload"
    if parts == 2:
        os.kill(os.getpid(), signal.SIGKILL)
jobs.run(jobs.plan(Path(sys.argv[1])), Path(sys.argv[2]), destination="s3://bucket/killed", listener=listen,
         chunk_bytes=2**20, range_bytes=2**22)
"""


def test_killed_while_a_file_is_sent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the three parts of train.jsonl are there: a reader sees no file and no manifest."""
    monkeypatch.setattr(upload, "PART", 5 * 2**20)
    rows = [row | {"output": f"{number} " + "word " * 8000} for number, row in enumerate(ROWS)]
    source = jobs.write_lines(tmp_path / "in.jsonl", rows)
    jobs.run(jobs.plan(source), tmp_path / "here", chunk_bytes=2**20, range_bytes=2**22)
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "staged")]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    assert server.names("killed") == set() and len(server.unfinished()) == 1
    jobs.run(
        jobs.plan(source), tmp_path / "staged", destination="s3://bucket/killed",
        chunk_bytes=2**20, range_bytes=2**22,
    )  # fmt: skip
    assert on_store(server, "killed", tmp_path) == jobs.content(tmp_path / "here")


def test_what_is_sent_is_compared(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose tags are no MD5 is read again; one that keeps other bytes is found out."""
    monkeypatch.setattr(upload, "_tags", lambda digests: set())
    jobs.run(jobs.plan(source), tmp_path / "staged", destination="s3://bucket/tagless")
    put = upload._Sending.write
    monkeypatch.setattr(upload._Sending, "write", lambda self, part: put(self, part[:-1] + b"?"))
    with pytest.raises(OutputError, match=r"train.jsonl: does not read back as it was sent"):
        jobs.run(jobs.plan(source), tmp_path / "other", destination="s3://bucket/altered")
    monkeypatch.setattr(upload._Sending, "write", lambda self, part: put(self, part[:-1]))
    with pytest.raises(OutputError, match=r"train.jsonl: holds \d+ bytes after the upload, not \d+"):
        jobs.run(jobs.plan(source), tmp_path / "other", destination="s3://bucket/altered")
    assert "manifest.json" not in server.names("altered")


def test_another_run_at_the_same_url_is_noticed(server: Server, source: Path, tmp_path: Path) -> None:
    def listen(event: Event) -> None:
        if (
            isinstance(event, ChunkDone)
            and event.stage == "upload"
            and "validation.jsonl" in server.names("two")
        ):
            server.put("two/train.jsonl", b"of another run\n")

    with pytest.raises(OutputError, match=r"s3://bucket/two: changed while it was written"):
        jobs.run(jobs.plan(source), tmp_path / "staged", destination="s3://bucket/two", listener=listen)
    assert "manifest.json" not in server.names("two")
    jobs.run(jobs.plan(source), tmp_path / "staged", destination="s3://bucket/two")
    assert "manifest.json" in server.names("two")


def test_what_is_wrong_is_one_line(
    server: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = jobs.plan(source)

    def reported(kind: type[ForgeError], pattern: str, url: str = "", destination: str | None = None) -> None:
        with pytest.raises(kind, match=pattern) as refused:
            jobs.run(jobs.plan(url) if url else config, tmp_path / "out", destination=destination)
        assert "\n" not in str(refused.value) and SECRET not in str(refused.value)
        assert not (tmp_path / "out" / ".forge").exists()  # it is told before anything is done

    reported(
        InputError, r"s3://nobucket/in.jsonl: there is no such file; check the URL", "s3://nobucket/in.jsonl"
    )
    reported(InputError, r"s3://bucket/none/\*.jsonl: no data file is there", "s3://bucket/none/*.jsonl")
    reported(OutputError, r"s3://nobucket/out: there is no such bucket", destination="s3://nobucket/out")
    assert not server.system.exists("nobucket")
    reported(
        OutputError, r"https://host/out: https:// is for input alone", destination="https://me:pw@host/out"
    )
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    reported(
        InputError,
        r"in.jsonl: no permission to read it; check the credentials for s3://",
        "s3://bucket/in.jsonl",
    )
    reported(OutputError, r"no permission .*; check the credentials for s3://", destination="s3://bucket/out")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    S3FileSystem.clear_instance_cache()
    reported(OutputError, r"cannot be written: .*check the network", destination="s3://bucket/out")
    S3FileSystem.clear_instance_cache()


def test_nothing_of_others_is_written_over(server: Server, source: Path, tmp_path: Path) -> None:
    url = server.put("mine/train.jsonl", source.read_bytes())
    for inputs in (jobs.plan(url), jobs.plan("s3://bucket/mine")):
        with pytest.raises(OutputError, match=r"s3://bucket/mine/train.jsonl: is an input"):
            jobs.run(inputs, tmp_path / "staged", destination="s3://bucket/mine/")
    with pytest.raises(OutputError, match=r"train.jsonl: already exists, and no run of Forge"):
        jobs.run(jobs.plan(source), tmp_path / "staged", destination="s3://bucket/mine")
    assert server.get("mine/train.jsonl") == source.read_bytes()

    stopper = Stopper("upload", 1)
    with pytest.raises(Interrupted):
        jobs.run(
            jobs.plan(source), tmp_path / "staged", destination="s3://bucket/begun",
            listener=stopper, check_stop=stopper.check,
        )  # fmt: skip
    with pytest.raises(OutputError, match=r"mine/train.jsonl: already exists"):  # begun elsewhere, not here
        jobs.run(jobs.plan(source), tmp_path / "staged", destination="s3://bucket/mine")


def test_no_secret_is_written_or_told(server: Server, source: Path, tmp_path: Path) -> None:
    url = server.put("secret/in.jsonl", source.read_bytes())
    events: list[Event] = []
    jobs.run(
        jobs.plan(url), tmp_path / "staged", destination="s3://bucket/secret/out", listener=events.append
    )
    for path in (tmp_path / "staged").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    assert not any(SECRET.encode() in server.get(f"secret/out/{name}") for name in server.names("secret/out"))
    assert SECRET not in repr(events)


@pytest.mark.slow
def test_on_the_command_line(server: Server, source: Path, tmp_path: Path) -> None:
    server.put("cli/in.jsonl", source.read_bytes())

    def forge(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        assert SECRET not in done.stderr + done.stdout and "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    forge("plan", "--data", "s3://bucket/cli/in.jsonl", "--template", "chatml")
    shown = forge("prepare", "--output", "s3://bucket/cli/out")
    assert "s3://bucket/cli/out/train.jsonl" in shown
    assert {"manifest.json", "train.jsonl", "ledger.parquet"} <= server.names("cli/out")
    (staged,) = (tmp_path / ".forge-upload").iterdir()
    assert staged.name.startswith("s3-bucket-cli-out-")
    assert "already prepared" in forge("prepare", "--output", "s3://bucket/cli/out")
    assert "no such bucket" in forge("prepare", "--output", "s3://nobucket/out", code=2)
    assert "staging" in forge("prepare", "--output", "here", "--staging", "there", code=2)


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of("prepared", None) == (Path("prepared"), None)
    assert place_of("file:///data/out", None) == (Path("/data/out"), None)
    folders = {place_of(url, None)[0] for url in ("s3://b/a-b", "s3://b/a/b", "s3://k:secret@b/a/b")}
    assert len(folders) == 3 and all(folder.parent == tmp_path / ".forge-upload" for folder in folders)
    assert not any("secret" in str(folder) for folder in folders)
    assert place_of("s3://b/out/", "/fast") == (Path("/fast"), "s3://b/out")


def test_passing_faults_of_an_upload_are_tried_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.0)
    with faulty() as system:
        system.plan["pipe_file"] = [None, TimeoutError(), None, ConnectionResetError(), TimeoutError()]
        system.plan["info"] = [TimeoutError()]
        events: list[Event] = []
        result = jobs.run(
            jobs.plan(source), tmp_path / "staged", destination="faulty://bucket/out", listener=events.append
        )
        assert sum(isinstance(event, Retried) and event.stage == "upload" for event in events) == 4
        assert result.splits["train"].to_arrow().num_rows == result.counts["train"]
        assert os.path.exists(tmp_path / "staged/.forge/uploaded.json")
        system.plan["pipe_file"] = [None] * 3 + [TimeoutError()] * 7
        with pytest.raises(OutputError, match=r"cannot be written: TimeoutError.*what is done is kept"):
            jobs.run(jobs.plan(source), tmp_path / "new", destination="faulty://bucket/new")
        jobs.run(jobs.plan(source), tmp_path / "new", destination="faulty://bucket/new")
