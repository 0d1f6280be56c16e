"""Trackers: each by its real library on a store of this machine; one that fails ends no job."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from forge_gpu import library
from forge_gpu.errors import ForgeError, Interrupted
from forge_gpu.share.track import registry, tracking
from forge_gpu.share.track.base import Began, Outcome
from forge_gpu.share.track.facts import name_of, parameters_of
from forge_gpu.share.track.tracking import Tracking
from tests.job.jobs import plan, rows, write_lines

SECRET = "s3cr3t-of-a-url"


class Noted:
    """A third tracker: what a test can look into."""

    package = "json"

    def __init__(self, fails_at: str = "", waits: float = 0) -> None:
        self.fails_at, self.waits = fails_at, waits
        self.began: Began | None = None
        self.outcome: Outcome | None = None
        self.failed: tuple[str, bool] | None = None

    def _meet(self, step: str) -> None:
        time.sleep(self.waits)
        if self.fails_at == step:
            raise SystemExit("no server\nand a second line")

    def begin(self, began: Began) -> None:
        self._meet("begin")
        self.began = began

    def finish(self, outcome: Outcome) -> str:
        self._meet("finish")
        self.outcome = outcome
        return "here"

    def fail(self, error: str, was_stopped: bool) -> None:
        self.failed = (error, was_stopped)


def track(tracker: Noted, folder: Path, records: list[dict[str, Any]] | None = None, **options: Any) -> Any:
    """A job that a tracker hears of."""
    source = write_lines(folder / "raw.jsonl", rows(60) if records is None else records)
    listener = Tracking("noted", tracker, str(folder / "out"))
    try:
        config = plan(source, **options.pop("sections", {}))
        result = library.prepare(config, output=folder / "out", listeners=[listener], **options)
        listener.finished(result)
        return result
    finally:
        listener.close()


def test_a_third_tracker_gets_everything(tmp_path, capsys):
    tracker = Noted()
    result = track(tracker, tmp_path, [*rows(60), {"output": "x"}])
    assert capsys.readouterr().err == "tracked by noted: here\n"
    began, outcome = tracker.began, tracker.outcome
    assert began is not None and outcome is not None and tracker.failed is None
    assert began.name == "out" and len(began.run) == 16
    assert (
        began.parameters["preprocessing.seed"] == 42 and began.parameters["model.chat_template"] == "chatml"
    )
    assert outcome.metrics["rows.train"] == result.counts["train"]
    assert outcome.metrics["rejected.missing_field"] == 1 and outcome.metrics["rows"] == 61
    histogram = outcome.histograms["characters.train"]
    assert sum(histogram.rows) == result.counts["train"] and len(histogram.edges) == len(histogram.rows) + 1
    assert {file["file"] for file in outcome.data.files} == {"train.jsonl", "validation.jsonl"}
    assert set(outcome.texts) == {"forge.yaml", "manifest.json"}
    assert [path.name for path in outcome.files] == ["report.html"]


def test_equal_data_has_an_equal_digest(tmp_path):
    digests = []
    for name, sections in (("a", {}), ("b", {}), ("c", {"preprocessing": {"seed": 1}})):
        (tmp_path / name).mkdir()
        tracker = Noted()
        track(tracker, tmp_path / name, sections=sections)
        assert tracker.outcome is not None
        digests.append(tracker.outcome.data.digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("step", ["begin", "finish"])
def test_a_tracker_that_fails_is_a_warning(step, tmp_path, capsys):
    tracker = Noted(fails_at=step)
    result = track(tracker, tmp_path)
    assert result.counts["train"] and tracker.outcome is None
    warned = "warning: --track noted: SystemExit: no server; the output is whole\n"
    assert capsys.readouterr().err == warned


def test_a_tracker_that_hangs_is_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 0.2)
    result = track(Noted(waits=5), tmp_path)
    assert result.counts["train"]
    assert "did not answer for 0 s; the output is whole" in capsys.readouterr().err


def test_a_job_that_is_stopped_or_fails_is_told(tmp_path):
    def stop() -> None:
        raise Interrupted(2)

    tracker = Noted()
    with pytest.raises(Interrupted):
        track(tracker, tmp_path, check_stop=stop)
    assert tracker.failed is not None and tracker.failed[1] and tracker.outcome is None
    tracker = Noted()
    with pytest.raises(ForgeError):
        track(tracker, tmp_path, [{"output": "x"}], strict=True, fresh=True)
    assert tracker.failed is not None and not tracker.failed[1]


def test_nothing_secret_is_tracked():
    config: Mapping[str, Any] = {
        "data": {"inputs": [f"https://joe:{SECRET}@host/x"], "mapping": {"roles": {"a=b\n": "user"}}},
        "model": {"template_kwargs": {"api_key": SECRET}, "chat_template": "x" * 9000},
        "none": None,
    }
    parameters = parameters_of(config)
    assert SECRET not in json.dumps(parameters)
    assert "data.mapping.roles.a_b_" in parameters and "none" not in parameters
    assert all(len(str(value)) <= 500 for value in parameters.values())


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("prepared", "prepared"),
        ("s3://bucket/a b/", "a_b"),
        ("..", "prepared"),
        ("/", "prepared"),
        ("x/ü|", "x___"),
    ],
)
def test_names(output, name):
    assert name_of(output) == name or (output == "x/ü|" and name_of(output) == "__")


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    for name in registry.NAMES:
        with pytest.raises(ForgeError, match=rf"pip install 'forge-gpu\[{name}\]'"):
            registry.tracker_of(name)


def forge(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    source = write_lines(folder / "raw.jsonl", [*rows(60), {"output": "x"}])
    (folder / "forge.yaml").write_text(
        json.dumps(plan(source).model_dump(mode="json", exclude_defaults=True))
    )
    code = "from forge_gpu.cli.start import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "prepare", "--quiet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env=_environment() | environment,
    )


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))}


@pytest.mark.slow
def test_mlflow(tmp_path):
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    done = forge(tmp_path, "--track", "mlflow", MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0 and done.stderr.startswith("tracked by mlflow: run "), done.stderr
    with closing(sqlite3.connect(tmp_path / "runs.db")) as opened:

        def read(query: str) -> dict[str, Any]:
            return dict(opened.execute(query).fetchall())

        assert read("SELECT name, status FROM runs") == {"prepared": "FINISHED"}
        assert read("SELECT key, value FROM params")["preprocessing.train_split"] == "0.9"
        metrics = read("SELECT key, value FROM latest_metrics")
        curve = read("SELECT step, value FROM metrics WHERE key = 'histogram.characters.train'")
        [[name, digest, source]] = opened.execute("SELECT name, digest, dataset_source FROM datasets")
        [[context]] = opened.execute("SELECT value FROM input_tags")
    manifest = json.loads((tmp_path / "prepared" / "manifest.json").read_bytes())
    assert metrics["rows.train"] == manifest["counts"]["train"] == sum(curve.values())
    assert metrics["rejected.missing_field"] == 1
    assert (name, context) == ("prepared", "prepared")
    assert json.loads(source)["sha256"].startswith(digest)
    artifacts = {path.name for path in (tmp_path / "mlruns").rglob("*.*") if path.is_file()}
    assert artifacts == {"forge.yaml", "manifest.json", "report.html"}


@pytest.mark.slow
def test_wandb(tmp_path):
    done = forge(tmp_path, "--track", "wandb", WANDB_DIR=str(tmp_path), NETRC="none")
    assert done.returncode == 0 and done.stderr.startswith("tracked by wandb: offline; 'wandb sync "), (
        done.stderr
    )
    [log] = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    kinds: dict[str, list[Any]] = {}
    for record in _records(log):
        kinds.setdefault(record.kind, []).append(record)
    [run] = (record.run for record in kinds["run"])
    assert (run.project, run.display_name) == ("forge", "prepared")
    assert {item.key: item.value_json for item in run.config.update}["preprocessing.train_split"] == "0.9"
    updates = [item for record in kinds["summary"] for item in record.summary.update]
    summary = {item.key or ".".join(item.nested_key): item.value_json for item in updates}
    manifest = json.loads((tmp_path / "prepared" / "manifest.json").read_bytes())
    assert json.loads(summary["rows.train"]) == manifest["counts"]["train"]
    assert summary["rejected.missing_field"] == "1"
    history = {item.key or item.nested_key[0] for record in kinds["history"] for item in record.history.item}
    assert "characters.train" in history
    artifacts = {
        record.artifact.name: (record.artifact.type, {of.path for of in record.artifact.manifest.contents})
        for record in kinds["artifact"]
    }
    assert artifacts == {
        "prepared": ("dataset", {"files.json"}),
        "prepared-made": ("preparation", {"forge.yaml", "manifest.json", "report.html"}),
    }


READ = """
import json, sys
from google.protobuf.json_format import MessageToDict
from wandb.proto.wandb_internal_pb2 import Record

def read(line):
    record = Record.FromString(bytes.fromhex(line))
    kind = record.WhichOneof("record_type")
    options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return {"kind": kind, kind: MessageToDict(getattr(record, kind), **options)}

print(json.dumps([read(line) for line in sys.stdin.read().split()]))
"""
BLOCK, FILE_HEADER, HEADER = 2**15, 7, 7
WHOLE, LAST = 1, 4


def _records(log: Path) -> list[Any]:
    """The records of a run that is offline: in blocks as LevelDB's logs are, each a message of protobuf. A
    process of its own reads them: the library is imported there as users import it, and not in a test's."""
    data, place = log.read_bytes(), FILE_HEADER
    records, piece = [], b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        place += HEADER + length
        piece += data[place - length : place]
        if kind in (WHOLE, LAST):
            records.append(piece.hex())
            piece = b""
    done = subprocess.run(
        [sys.executable, "-c", READ], input="\n".join(records), capture_output=True, text=True, check=True
    )
    read: list[Any] = json.loads(done.stdout, object_hook=lambda fields: SimpleNamespace(**fields))
    return read


@pytest.mark.slow
def test_a_server_that_is_not_there_ends_no_job(tmp_path):
    done = forge(
        tmp_path, "--track", "mlflow", MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_EXPERIMENT_NAME="x",
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith("warning: --track mlflow: "), done.stderr
    assert (tmp_path / "prepared" / "manifest.json").exists()
