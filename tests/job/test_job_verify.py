"""The output is read back: what is not as it was written stops the job, whatever the number of threads."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import Interrupted, ValidationError
from forge_gpu.io.sinks import jsonl
from forge_gpu.io.sinks.lines import in_pieces
from forge_gpu.job.events.events import ChunkDone, Event
from forge_gpu.job.output.result import OutputFile
from forge_gpu.job.output.verify import verify
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.templates.forms import form_of
from tests.job import jobs


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def threads(request):
    return request.param


def made(tmp_path, **output):
    """A finished job of several files: its spec, and the files that its manifest names."""
    source = jobs.write_lines(tmp_path / "source.jsonl", [*jobs.rows(300), {"instruction": "no answer"}])
    config = jobs.plan(source, output={"rows_per_shard": 60, **output})
    result = jobs.run(config, tmp_path / "out")
    files = [OutputFile(**entry) for entry in result.manifest["outputs"]]
    assert len(files) > 4
    return JobSpec(config, tmp_path, tmp_path / "out"), files


def read_back(job, threads, check_stop=lambda: None, listener=lambda event: None):
    spec, files = job
    return verify(spec, files, threads, listener, check_stop)


def change(job, edit):
    """Edit the lines of the second file."""
    spec, files = job
    path = spec.output / files[1].file
    path.write_text("".join(f"{line}\n" for line in edit(jobs.lines(path))))
    return path


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_gives_every_file_its_digest(tmp_path, threads, format):
    job = made(tmp_path, format=format)
    reported: list[Event] = []
    checked, facts = read_back(job, threads, listener=reported.append)
    spec, files = job
    digests = [hashlib.sha256((spec.output / file.file).read_bytes()).hexdigest() for file in files]
    assert [file.sha256 for file in checked] == digests == [file.sha256 for file in files]
    assert facts == {"files": len(files), "rows": sum(file.rows for file in files), "fields": ["text"]}
    assert sum(event.rows for event in reported if isinstance(event, ChunkDone)) == facts["rows"]


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda lines: [*lines[:5], lines[5][:-1], *lines[6:]], "holds a line that is not a JSON record"),
        (lambda lines: [*lines[:5], '{"other":1}', *lines[6:]], "line 6 has no text"),
        (lambda lines: [*lines[:5], '{"text":""}', *lines[6:]], "line 6 has no text"),
        (lambda lines: [*lines[:5], '{"text":7}', *lines[6:]], "line 6 has no text"),
        (lambda lines: lines[:-1], "holds 59 rows, but 60 were decided"),
        (lambda lines: [*lines, lines[0]], "holds 61 rows, but 60 were decided"),
    ],
)
def test_a_file_that_is_not_as_it_was_written(tmp_path, threads, edit, fault):
    job = made(tmp_path)
    path = change(job, edit)
    with pytest.raises(ValidationError, match=f"{path}: {fault}"):
        read_back(job, threads)


def test_a_table_with_a_null(tmp_path, threads):
    job = made(tmp_path, format="parquet")
    spec, files = job
    path = spec.output / files[0].file
    table = pq.read_table(path)
    texts = pa.array([None, *table["text"].to_pylist()[1:]], table["text"].type)
    pq.write_table(pa.table({"text": texts}), path)
    with pytest.raises(ValidationError, match="have no text"):
        read_back(job, threads)


def test_rejected_lines_need_no_text(tmp_path, threads):
    job = made(tmp_path)
    spec, files = job
    rejected = [file for file in files if file.split == "rejected"]
    assert rejected[0].rows == 1
    read_back((spec, rejected), threads)
    with pytest.raises(ValidationError, match="has no text"):
        read_back((spec, [replace(rejected[0], split="train")]), threads)


def test_stops_when_it_is_told_to(tmp_path, threads):
    def stop():
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        read_back(made(tmp_path), threads, check_stop=stop)


def test_a_job_that_is_stopped_there_goes_on_from_there(tmp_path):
    source = jobs.write_lines(tmp_path / "source.jsonl", jobs.rows(300))
    config = jobs.plan(source)
    whole = jobs.run(config, tmp_path / "whole")
    reached = []

    def stop():
        if "verify" in reached:
            raise Interrupted(2)

    def listen(event):
        reached.append(event.stage)

    with pytest.raises(Interrupted):
        jobs.run(config, tmp_path / "out", listener=listen, check_stop=stop)
    assert not (tmp_path / "out" / "manifest.json").exists()
    again = jobs.run(config, tmp_path / "out", threads=2)
    assert again.counts == whole.counts
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize("block", [64, 700, 2**20])
@pytest.mark.parametrize("wrong", [(), (5, 6, 380), (6, 7), (380,)])
def test_the_first_line_that_is_wrong_is_told_of(tmp_path, monkeypatch, threads, block, wrong):
    """Whatever pieces lines are looked at in, and whichever piece is looked at first."""
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", block)
    path = tmp_path / "train.jsonl"
    lines = [b'{"text":"%s"}\n' % (b"x" * (1 + number % 97)) for number in range(1, 400)]
    for number in wrong:
        lines[number - 1] = b'{"text":""}\n'
    path.write_bytes(b"".join(lines))
    plan, seen = jobs.plan(path), [(0, 0)]
    fields = form_of(plan).fields(plan)
    fault = pytest.raises(ValidationError, match=f": line {wrong[0]} has no text") if wrong else nullcontext()
    with ThreadPoolExecutor(2) if threads > 1 else nullcontext() as beside, fault:
        rows, _ = jsonl.FORMAT.check(path, fields, lambda *of: seen.append(of), beside)
        assert (rows, rows, path.stat().st_size) == (len(lines), *map(sum, zip(*seen, strict=True)))


def test_lines_in_pieces_are_whole():
    block = np.frombuffer(b"".join(b"x" * length + b"\n" for length in (0, 3, 90, 0, 1, 400, 2)), np.uint8)
    for count in range(1, 9):
        pieces = in_pieces(block, count)
        assert len(pieces) == count and b"".join(piece.tobytes() for piece in pieces) == block.tobytes()
        assert all(piece[-1] == ord("\n") for piece in pieces if len(piece))
    assert [len(piece) for piece in in_pieces(block[:200], 2)] == [99, 101]
