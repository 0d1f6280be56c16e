"""The output is read back, its rows are counted, and nobody else's file is written over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.errors import OutputError, ValidationError
from forge_gpu.io.lock import FolderLock
from forge_gpu.job.output import manifest
from tests.guards.planted import when
from tests.job import jobs


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def spoil_a_line(path: Path) -> None:
    """Its field is still there, and is text."""
    path.write_bytes(path.read_bytes().replace(b"}\n", b"]\n", 1))


def lose_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def lose_a_field(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"text"', b'{"next"', 1))


def empty_a_field(path: Path) -> None:
    path.write_bytes(b'{"text":""}\n' + path.read_bytes().partition(b"\n")[2])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (cut, "train.jsonl: its last line has no end"),
        (spoil_a_line, "train.jsonl: holds a line that is not a JSON record"),
        (lose_a_line, r"train.jsonl: holds \d+ rows, but \d+ were decided"),
        (lose_a_field, "train.jsonl: line 1 has no text"),
        (empty_a_field, "train.jsonl: line 1 has no text"),
    ],
)
def test_an_output_that_is_not_as_it_was_written(
    damage: Callable[[Path], None], fault: str, threads: int, source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    plant = when("verify", lambda: damage(output / "train.jsonl"))
    with pytest.raises(ValidationError, match=fault):
        jobs.run(jobs.plan(source), output, threads, listener=plant)
    assert not (output / "manifest.json").exists()


def test_counts_that_do_not_sum_to_the_rows(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = manifest.content

    def one_less(*arguments: Any) -> dict[str, Any]:
        document = real(*arguments)
        document["counts"]["train"] -= 1
        return document

    monkeypatch.setattr(manifest, "content", one_less)
    with pytest.raises(ValidationError, match="the fates of 299 rows are known, of 300"):
        jobs.run(jobs.plan(source), tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_file_that_no_run_wrote(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "train.jsonl").write_text("mine")
    with pytest.raises(OutputError, match=r"train.jsonl: already exists, and no run of Forge wrote it"):
        jobs.run(jobs.plan(source), output)
    assert (output / "train.jsonl").read_text() == "mine"


def test_an_input_in_the_place_of_an_output(tmp_path: Path) -> None:
    """Even where the folder is Forge's own."""
    output = tmp_path / "out"
    jobs.run(jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(20))), output)
    source = jobs.write_lines(output / "train.jsonl", jobs.rows(20, seed=1))
    before = source.read_bytes()
    with pytest.raises(OutputError, match=r"train.jsonl: is an input, and the output would be written over"):
        jobs.run(jobs.plan(source), output)
    assert source.read_bytes() == before


def test_a_second_run_in_the_same_folder(source: Path, tmp_path: Path) -> None:
    with FolderLock(tmp_path / "out"), pytest.raises(OutputError, match=f"process {os.getpid()}"):
        jobs.run(jobs.plan(source), tmp_path / "out", wait=0)
    assert jobs.run(jobs.plan(source), tmp_path / "out", wait=0).counts["train"]
