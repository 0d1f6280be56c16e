"""`forge_gpu.stream`: the rows of `prepare`, in its order, without an output folder."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ForgeError, InputError
from forge_gpu.events import Event, StageDone
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.streaming import stream
from tests.job import jobs

KEEP = {
    "output": {"columns": ["category", "score"]},
    "preprocessing": {"test_split": 0.1, "train_split": 0.8},
}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders of stream, where they can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(300))


def table(batches) -> pa.Table:
    result = list(batches)
    return pa.Table.from_batches(result)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("batch_rows", [1, 7, 8192])
def test_the_rows_of_prepare_in_its_order(
    split: str, batch_rows: int, source: Path, tmp_path: Path, temporary: Path
) -> None:
    config = jobs.plan(source, **KEEP)
    written = forge_gpu.prepare(config, output=tmp_path / "out").splits[split].to_arrow()
    batches = list(forge_gpu.stream(config, split=split, batch_rows=batch_rows))
    assert max(map(len, batches)) <= batch_rows
    streamed = table(batches)
    assert streamed.equals(written) and streamed.schema.equals(written.schema, check_metadata=True)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("form", ["text", "prompt_completion", "messages"])
def test_every_form(form: str, source: Path, tmp_path: Path) -> None:
    config = jobs.plan(source, output={"form": form})
    written = forge_gpu.prepare(config, output=tmp_path / "out").splits["train"].to_arrow()
    assert table(forge_gpu.stream(config)).equals(written)
    assert table(forge_gpu.stream(jobs.plan(source), form=form)).equals(written)


def test_of_parquet_and_of_gzip(source: Path, tmp_path: Path) -> None:
    written = forge_gpu.prepare(jobs.plan(source, **KEEP), output=tmp_path / "out").splits["train"]
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert table(forge_gpu.stream(jobs.plan(packed, **KEEP))).equals(written.to_arrow())
    rows = [record | {"score": None} for record in jobs.rows(300)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    streamed = table(forge_gpu.stream(jobs.plan(tmp_path / "rows.parquet", **KEEP)))
    assert streamed["text"].equals(written.to_arrow()["text"])


def test_a_batch_stays_as_it_is_when_the_next_one_is_made(source: Path) -> None:
    batches, copies = [], []
    for batch in forge_gpu.stream(jobs.plan(source), batch_rows=16):
        batches.append(batch)
        copies.append(batch.to_pylist())
    assert [batch.to_pylist() for batch in batches] == copies


def test_what_is_left_early_leaves_nothing_behind(source: Path, temporary: Path) -> None:
    batches = forge_gpu.stream(jobs.plan(source), batch_rows=10)
    next(batches)
    assert list(temporary.iterdir()) != []
    assert isinstance(batches, Generator)
    batches.close()
    assert list(temporary.iterdir()) == []


def test_events_and_no_output(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    heard: list[Event] = []
    list(forge_gpu.stream(jobs.plan(source), on_event=heard.append))
    stages = [event.stage for event in heard if isinstance(event, StageDone)]
    assert stages[:3] == ["open", "index", "decide"]
    assert list(Path().iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_streamed_is_refused_before_anything_is_read(source: Path) -> None:
    config = jobs.plan(source)
    with pytest.raises(ForgeError, match="there is no split 'trian'"):
        forge_gpu.stream(config, split="trian")
    with pytest.raises(ForgeError, match=r"set output\.order to input"):
        forge_gpu.stream(config, settings=["output.order=shuffled"])
    with pytest.raises(ForgeError, match="batch_rows is 0"):
        forge_gpu.stream(config, batch_rows=0)


def test_a_source_that_changes_in_between_is_noticed(source: Path) -> None:
    """In place and of the same size: only the contents tell."""
    config = jobs.plan(source, preprocessing={"streaming_threshold_gb": 0})

    def change(event: Event) -> None:
        if isinstance(event, StageDone) and event.stage == "decide":
            source.write_bytes(source.read_bytes().replace(b"Task", b"TASK"))

    spec = JobSpec(config, source.parent, source.parent / "out")
    budget = Budget(2**24, 1, 4096, "a test")
    with pytest.raises(InputError, match="changed"):
        list(stream(spec, budget, CpuEngine, "train", 100, change))  # which waits for its listener


def test_an_empty_input_gives_no_rows(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"")
    assert sum(map(len, forge_gpu.stream(jobs.plan(source)))) == 0


def test_frames_of_pandas(source: Path, temporary: Path) -> None:
    config = jobs.plan(source, **KEEP)
    frames = list(forge_gpu.stream(config, batch_rows=50, as_="pandas"))
    batches = list(forge_gpu.stream(config, batch_rows=50))
    assert len(frames) == len(batches) > 1
    for frame, batch in zip(frames, batches, strict=True):
        assert pa.RecordBatch.from_pandas(frame, preserve_index=False).equals(batch)
    with pytest.raises(ForgeError, match="as_ is 'polars': choose arrow, pandas or cudf"):
        forge_gpu.stream(config, as_="polars")  # type: ignore[arg-type]
    assert list(temporary.iterdir()) == []
