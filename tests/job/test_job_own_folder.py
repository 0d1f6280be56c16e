"""A job writes over its own files, and over no one else's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from forge_gpu.errors import OutputError
from tests.job import jobs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(60))


@pytest.mark.parametrize(
    "name",
    [
        "train.jsonl",
        "train-00000-of-00002.parquet",
        "validation.jsonl",
        "rejected.jsonl",
        "ledger.parquet",
        "manifest.json",
    ],
)
def test_files_of_others_are_not_written_over(name: str, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / name).write_text('{"mine": 1}')
    with pytest.raises(OutputError, match=rf"out/{name}: already exists, and no run of Forge wrote it; move"):
        jobs.run(jobs.plan(source), output)
    assert (output / name).read_text() == '{"mine": 1}'
    assert [path.name for path in output.iterdir()] == [name]


def test_other_files_are_left_alone(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    for name in ("notes.txt", "training.jsonl", "train.csv"):
        (output / name).write_text("mine")
    jobs.run(jobs.plan(source), output)
    assert {path.read_text() for path in output.iterdir() if path.name in ("notes.txt", "train.csv")} == {
        "mine"
    }
    assert (output / "training.jsonl").read_text() == "mine"


@pytest.mark.parametrize("lost", [".forge", "manifest.json"])
def test_its_own_are_known_by_checkpoint_or_manifest(lost: str, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    jobs.run(jobs.plan(source), output)
    path = output / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    jobs.run(jobs.plan(source, preprocessing={"seed": 7}), output)


def test_an_output_is_not_read_and_written_at_once(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    jobs.run(jobs.plan(source), output)
    before = jobs.content(output)
    mapping = {
        "data": {"inputs": [str(output / "train.jsonl")], "mapping": {"shape": "text", "text": "text"}}
    }
    config = jobs.plan(source, **mapping, model={"template_kind": "none", "chat_template": None})
    with pytest.raises(
        OutputError, match=r"train\.jsonl: is an input, and the output would be written over it"
    ):
        jobs.run(config, output)
    assert jobs.content(output) == before
    jobs.run(config, tmp_path / "other")


def test_a_checkpoint_that_cannot_be_made_is_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.forge").write_text("")
    with pytest.raises(OutputError, match=r"out/\.forge: is a link, a file") as reported:
        jobs.run(jobs.plan(source), tmp_path / "out")
    assert "\n" not in str(reported.value)
