"""Splits that come with the data stay what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.errors import ConfigError, NoTrainingRows
from forge_gpu.planner.splits import split_of


def put(path: Path, rows: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"instruction": f"Name of river {i}?", "output": f"River {i}"}) for i in rows)
    path.write_text("".join(line + "\n" for line in lines))


def rivers(folder: Path, split: str) -> set[int]:
    text = (folder / f"{split}.jsonl").read_text() if (folder / f"{split}.jsonl").exists() else ""
    return {int(line.split("river ")[1].split("?")[0]) for line in text.splitlines()}


def test_given_splits_are_never_resized_and_duplicates_survive_in_test(tmp_path):
    put(tmp_path / "set/train.jsonl", [*range(40), 50])
    put(tmp_path / "set/test.jsonl", [50, 51, 5])
    plan = forge_gpu.plan(data=tmp_path / "set", template="chatml")
    assert plan.config.data.splits.test and any("comes with its splits" in note for note in plan.notes)
    forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert rivers(tmp_path / "out", "test") == {50, 51, 5}
    validation, train = rivers(tmp_path / "out", "validation"), rivers(tmp_path / "out", "train")
    assert len(validation) == 4 and train | validation == set(range(40)) - {5}
    assert forge_gpu.verify(tmp_path / "out").is_valid


def test_splits_do_not_go_with_groups(tmp_path):
    put(tmp_path / "set/train.jsonl", [1, 2])
    put(tmp_path / "set/test.jsonl", [3])
    config = forge_gpu.plan(data=tmp_path / "set", template="chatml").config
    with pytest.raises(ConfigError, match=r"do not go with preprocessing\.split\.group"):
        forge_gpu.prepare(config, output=tmp_path / "out", settings=["preprocessing.split.group=output"])


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("a/train.jsonl", "train"),
        ("a/test-00000-of-00001.parquet", "test"),
        ("dev.json.gz", "validation"),
        ("val/x.csv", "validation"),
        ("test/train.jsonl", "train"),
        ("latest.jsonl", None),
        ("test_socratic.jsonl", None),
        ("testing/x.jsonl", None),
    ],
)
def test_only_whole_names_count(path, split):
    assert split_of(path) == split


def test_nothing_to_train_on_ends_so_each_time(tmp_path):
    put(tmp_path / "a.jsonl", [1])
    config = forge_gpu.plan(data=tmp_path / "a.jsonl", template="chatml").config
    nothing = [
        "preprocessing.quality_checks.too_short=reject",
        "preprocessing.quality_checks.min_characters=99",
    ]
    for _ in range(2):
        with pytest.raises(NoTrainingRows, match="no row is left to train on: 1 rejected") as fault:
            forge_gpu.prepare(config, output=tmp_path / "out", settings=nothing)
        assert fault.value.exit_code == 4 and fault.value.result.counts["rejected"] == 1
    made = forge_gpu.prepare(config, output=tmp_path / "out", settings=nothing, allow_empty=True)
    assert made.was_finished and (tmp_path / "out/rejected.jsonl").exists()
