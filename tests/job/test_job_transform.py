"""Whole jobs with a transform in the real sandbox: parts, fates, spool, kills, threads, tables."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import ConfigError, Interrupted
from forge_gpu.job.output.result import Result
from forge_gpu.job.rows.transformer import Transformer
from forge_gpu.sandbox.layers import SandboxError, read_layers
from tests.job import jobs

SCRIPT = '''"""Every kind of outcome, by the row's number."""
import re

NUMBER = re.compile(r"\\d+")


def transform(row):
    number = int(NUMBER.search(row["instruction"])[0])
    if number % 7 == 3:
        return None
    if number % 7 == 4:
        raise ValueError(f"row {number} is not wanted")
    if number % 7 == 5:
        return [{**row, "output": f"{row['output']} ({part})"} for part in range(number % 3 + 2)]
    return {**row, "output": row["output"].upper()}
'''


def expected(row: dict[str, Any]) -> list[dict[str, Any]] | str:
    """What the script makes of a row, written down again."""
    result = re.search(r"\d+", row["instruction"])
    assert result is not None
    number = int(result[0])
    match number % 7:
        case 3:
            return []
        case 4:
            return f"row {number} is not wanted"
        case 5:
            return [{**row, "output": f"{row['output']} ({part})"} for part in range(number % 3 + 2)]
    return [{**row, "output": row["output"].upper()}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "transform.py").write_text(SCRIPT)
    jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(400, seed=3))
    return tmp_path


def run(
    folder: Path, output: str, source: str = "rows.jsonl", script: str = "transform.py", **options: Any
) -> Result:
    sections = options.pop("sections", {})
    settings = {"script": str(folder / script)} | options.pop("transform", {})
    plan = jobs.plan(
        folder / source, data={"inputs": [str(folder / source)], "transform": settings}, **sections
    )
    return jobs.run(plan, folder / output, **options)


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in ("manifest.json", "report.html") and path.is_file()
    }


def test_every_row_is_what_the_script_makes_of_it(folder: Path) -> None:
    result = run(folder, "out")
    rows = jobs.rows(400, seed=3)
    parts = [part for row in rows for part in expected(row) if isinstance(part, dict)]
    reasons = [made for row in rows if isinstance(made := expected(row), str)]
    assert result.counts["dropped_by_transform"] == sum(expected(row) == [] for row in rows) > 10
    assert result.counts["rejected"] == len(reasons) > 10
    assert (result.manifest["rows"], result.manifest["parts"]) == (
        400,
        len(parts) + len(reasons) + result.counts["dropped_by_transform"],
    )
    assert sum(result.counts.values()) == result.manifest["parts"]
    texts = {
        jobs.CHATML.replace(
            "{query}", row["instruction"] + (f"\n{row['input']}" if row["input"] else "")
        ).replace("{response}", row["output"])
        for row in parts
    }
    written = [
        json.loads(line)["text"]
        for name in ("train.jsonl", "validation.jsonl")
        for line in (folder / "out" / name).read_bytes().splitlines()
    ]
    assert {text.removesuffix("\n") for text in written} == texts and len(written) == len(texts)
    rejected = [json.loads(line) for line in (folder / "out" / "rejected.jsonl").read_bytes().splitlines()]
    assert [line["detail"] for line in rejected] == reasons
    assert {line["reason"] for line in rejected} == {"transform_error"}
    assert json.loads(rejected[0]["source"]) in rows
    assert result.manifest["transform"]["contract"] == 2
    assert result.manifest["run"]["sandbox"] == read_layers().names


def test_chunks_threads_and_stops_change_no_byte(folder: Path) -> None:
    run(folder, "one")
    first = outputs(folder / "one")
    cases: dict[str, Any] = {"small": {"chunk_bytes": 900}, "threads": {"threads": 3, "chunk_bytes": 3000}}
    for name, options in cases.items():
        run(folder, name, **options)
        assert outputs(folder / name) == first
    with pytest.raises(Interrupted):
        run(folder, "stopped", chunk_bytes=900, **jobs.stop_after(3))
    run(folder, "stopped", chunk_bytes=900)
    assert outputs(folder / "stopped") == first


def test_tables_give_the_script_whole_rows(folder: Path) -> None:
    rows = [{"made": None, **row, "score": str(row["score"])} for row in jobs.rows(100)]
    jobs.write_lines(folder / "lines.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=30)
    lines, tables = run(folder, "lines", "lines.jsonl"), run(folder, "tables", "rows.parquet")
    assert lines.counts == tables.counts
    for name in ("train.jsonl", "validation.jsonl"):
        assert (folder / "lines" / name).read_bytes() == (folder / "tables" / name).read_bytes()


def test_records_of_the_form_source_are_what_the_script_made(folder: Path) -> None:
    run(
        folder,
        "out",
        sections={"output": {"form": "source"}, "model": {"chat_template": None, "template_kind": "none"}},
    )
    made = [json.loads(line) for line in (folder / "out" / "train.jsonl").read_bytes().splitlines()]
    known = [part for row in jobs.rows(400, seed=3) for part in expected(row) if isinstance(part, dict)]
    assert len(made) > 200 and all(row in known for row in made)


def test_the_second_pass_and_a_job_that_goes_on_do_not_call_the_script(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    asked = Transformer._run

    def counted(self: Transformer, rows: Any) -> Any:
        calls.append(len(rows))
        return asked(self, rows)

    monkeypatch.setattr(Transformer, "_run", counted)
    with pytest.raises(Interrupted):
        run(folder, "out", chunk_bytes=9000, **jobs.stop_after(2))
    begun = len(calls)
    run(folder, "out", chunk_bytes=9000, sections={"preprocessing": {"seed": 7, "streaming_threshold_gb": 0}})
    assert begun > 0 and sum(calls) == 400


def test_another_script_starts_the_job_anew_and_other_bounds_do_not(folder: Path) -> None:
    run(folder, "out")
    assert run(folder, "out", transform={"seconds": 5, "memory": 2**29, "processes": 1}).was_finished
    (folder / "transform.py").write_text(SCRIPT.replace("upper", "lower"))
    assert not run(folder, "out").was_finished


def test_a_script_whose_results_hang_together_ends_the_job(folder: Path) -> None:
    (folder / "state.py").write_text(
        "SEEN = []\ndef transform(row):\n    SEEN.append(1)\n    return {**row, 'output': str(len(SEEN))}\n"
    )
    with pytest.raises(SandboxError, match="it must depend on the row alone"):
        run(folder, "out", script="state.py")


def test_faults_of_a_script_end_the_job_in_one_line(folder: Path) -> None:
    (folder / "loop.py").write_text("def transform(row):\n    while True: pass\n")
    with pytest.raises(SandboxError, match="no answer within 1 s"):
        run(folder, "out", script="loop.py", transform={"seconds": 1})
    with pytest.raises(ConfigError, match="no such file"):
        run(folder, "out", script="none.py")


BATCHES = """import pyarrow.compute as pc

def transform_batch(batch):
    place = batch.schema.get_field_index("output")
    batch = batch.set_column(place, "output", pc.utf8_upper(batch["output"]))
    return batch.filter(pc.not_equal(pc.utf8_length(batch["instruction"]), 20))
"""


def test_chunks_and_threads_change_no_byte_by_batches_either(folder: Path) -> None:
    (folder / "batches.py").write_text(BATCHES)
    run(folder, "one", script="batches.py")
    made = [json.loads(line)["text"] for line in (folder / "one" / "train.jsonl").read_bytes().splitlines()]
    answers = [text.rpartition("assistant\n")[2].partition("<|im_end|>")[0] for text in made]
    assert len(answers) > 100 and all(answer == answer.upper() for answer in answers)
    cases: dict[str, Any] = {"small": {"chunk_bytes": 900}, "threads": {"threads": 3, "chunk_bytes": 3000}}
    for name, options in cases.items():
        run(folder, name, script="batches.py", **options)
        assert outputs(folder / name) == outputs(folder / "one")


SLOW = SCRIPT.replace("    number = int", "    sum(range(20_000))\n    number = int")


def kill_when_rows_are_spooled(folder: Path, *words: str) -> None:
    """Start the job of forge.yaml, and kill it and what it started when some rows are left."""
    program = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()"]
    child = subprocess.Popen(
        [*program, "prepare", "--output", "killed", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    spool = folder / "killed" / ".forge" / "spool"
    while not any(spool.glob("transformed-*")):
        assert child.poll() is None, child.communicate()
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (folder / "killed" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("--threads", "2"), pytest.param(("--workers", "2"), marks=pytest.mark.dask)]
)
def test_killed_and_gone_on_to_the_same_bytes(folder: Path, words: tuple[str, ...]) -> None:
    import forge_gpu
    from forge_gpu.config.write import save

    (folder / "slow.py").write_text(SLOW)
    files = [jobs.write_lines(folder / f"rows-{n}.jsonl", jobs.rows(1500, seed=n)) for n in range(3)]
    names = [str(file) for file in files]
    plan = jobs.plan(*files, data={"inputs": names, "transform": {"script": str(folder / "slow.py")}})
    save(folder / "forge.yaml", plan, {})
    kill_when_rows_are_spooled(folder, *words)
    more: dict[str, Any] = {"threads": 2} if words[0] == "--threads" else {"workers": 2}
    gone_on = forge_gpu.prepare(plan, output=folder / "killed", **more)
    forge_gpu.prepare(plan, output=folder / "whole", threads=1)
    assert not gone_on.was_finished and outputs(folder / "killed") == outputs(folder / "whole")


@pytest.mark.dask
def test_workers_change_no_byte(folder: Path) -> None:
    import forge_gpu

    plan = jobs.plan(
        folder / "rows.jsonl",
        data={"inputs": [str(folder / "rows.jsonl")], "transform": {"script": str(folder / "transform.py")}},
    )
    forge_gpu.prepare(plan, output=folder / "threads")
    forge_gpu.prepare(plan, output=folder / "workers", workers=2)
    assert outputs(folder / "threads") == outputs(folder / "workers")
