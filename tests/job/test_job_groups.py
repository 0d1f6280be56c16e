"""Splits that cannot leak: groups, clusters, strata, and the check of what was written."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from forge_gpu.config.layers import Layer, build
from forge_gpu.errors import ConfigError, ValidationError
from forge_gpu.fates import Fate
from forge_gpu.job.decide import leaks
from forge_gpu.job.events.events import Event, Warned
from tests.job import jobs, similar

SPLITS = ("train", "validation", "test")
SIZES = {"train_split": 0.7, "validation_split": 0.2, "test_split": 0.1}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return similar.rows(300, seed=5)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> Path:
    return jobs.write_lines(tmp_path_factory.mktemp("groups") / "rows.jsonl", rows)


def splits_of(output: Path) -> dict[int, str]:
    """The split of each row that is in one."""
    ledger = pq.read_table(output / "ledger.parquet").to_pylist()
    return {entry["row"]: entry["fate"] for entry in ledger if entry["fate"] in SPLITS}


def test_no_group_is_torn_and_sizes_are_met(source, rows, tmp_path) -> None:
    preprocessing = {**SIZES, "split": {"group": "user", "stratify": "category"}}
    result = jobs.run(jobs.plan(source, preprocessing=preprocessing), tmp_path / "out")
    splits = splits_of(tmp_path / "out")
    of_group = defaultdict(set)
    for row, split in splits.items():
        of_group[rows[row]["user"]].add(split)
    assert len(of_group) > 50 and all(len(matches) == 1 for matches in of_group.values())
    sizes = Counter(splits.values())
    for split, fraction in zip(SPLITS, (0.7, 0.2, 0.1), strict=True):
        assert abs(sizes[split] / len(splits) - fraction) <= 0.01
    strata = Counter((rows[row]["category"], split) for row, split in splits.items())
    for category in "ab":
        total = sum(strata[category, split] for split in SPLITS)
        assert abs(strata[category, "train"] / total - 0.7) < 0.03
    groups = result.manifest["groups"]
    assert groups["reasons"] == [] and groups["largest"] == max(
        Counter(rows[r]["user"] for r in splits).values()
    )
    assert result.manifest["verified"]["groups_in_several_splits"] == 0


def test_no_cluster_is_torn_and_every_row_stays(source, rows, tmp_path) -> None:
    preprocessing = {**SIZES, "dedup": {"near": {"action": "group"}}}
    result = jobs.run(jobs.plan(source, preprocessing=preprocessing), tmp_path / "out")
    assert result.counts["near_duplicate"] == 0 and result.manifest["near_duplicates"]["clusters"] > 10
    splits = splits_of(tmp_path / "out")
    retained = sorted(splits)
    matches = similar.pairs([rows[row] for row in retained])
    assert len(matches) > 40
    assert all(splits[retained[a]] == splits[retained[b]] for a, b in matches)
    assert len(set(splits.values())) == 3


def test_groups_and_clusters_together_and_for_any_chunks(source, rows, tmp_path) -> None:
    preprocessing = {**SIZES, "dedup": {"near": {"action": "group"}}, "split": {"group": "user"}}
    config = jobs.plan(source, preprocessing=preprocessing)
    jobs.run(config, tmp_path / "a")
    jobs.run(config, tmp_path / "b", threads=2, chunk_bytes=900, range_bytes=5000, memory=2**14)
    assert jobs.content(tmp_path / "a") == jobs.content(tmp_path / "b")
    splits = splits_of(tmp_path / "a")
    retained = sorted(splits)
    by_user = defaultdict(set)
    for row in retained:
        by_user[rows[row]["user"]].add(splits[row])
    assert all(len(result) == 1 for result in by_user.values())
    pairs = similar.pairs([rows[row] for row in retained])
    assert all(splits[retained[a]] == splits[retained[b]] for a, b in pairs)


def test_sizes_that_cannot_be_met_are_told(tmp_path) -> None:
    made = [
        {"instruction": f"q {n}", "output": f"answer {n}", "user": "one" if n < 60 else n} for n in range(100)
    ]
    source = jobs.write_lines(tmp_path / "rows.jsonl", made)
    events: list[Event] = []
    preprocessing = {"train_split": 0.5, "validation_split": 0.5, "split": {"group": "user"}}
    config = jobs.plan(source, preprocessing=preprocessing)
    result = jobs.run(config, tmp_path / "out", listener=events.append)
    assert sorted((result.counts["train"], result.counts["validation"])) == [40, 60]
    reported = [event.message for event in events if isinstance(event, Warned)]
    assert len(reported) == 2 and all("the largest has 60 of 100 rows" in message for message in reported)
    assert result.manifest["groups"]["reasons"] == reported


def test_rows_without_a_group_stand_alone(tmp_path) -> None:
    made: list[dict[str, Any]] = [{"instruction": f"q {n}", "output": f"answer {n}"} for n in range(100)]
    for number, value in enumerate((None, "", "x", "x")):
        made[number]["user"] = value
    source = jobs.write_lines(tmp_path / "rows.jsonl", made)
    result = jobs.run(jobs.plan(source, preprocessing={"split": {"group": "user"}}), tmp_path / "out")
    assert result.counts["validation"] == 10
    assert result.manifest["groups"] == {
        "groups_of_several_rows": 1,
        "rows_in_them": 2,
        "largest": 2,
        "reasons": [],
    }


def test_a_group_column_without_values_is_refused(source, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"split.group: no row has a value in the column 'usr'"):
        jobs.run(jobs.plan(source, preprocessing={"split": {"group": "usr"}}), tmp_path / "out")


@pytest.mark.parametrize(
    ("preprocessing", "words"),
    [
        ({"split": {"group": "user", "mode": "threshold"}}, "preprocessing.split: group needs mode exact"),
        ({"split": {"stratify": "user", "mode": "threshold"}}, "split: stratify needs mode exact: it is thr"),
        (
            {"split": {"stratify": ["user"], "mode": "temporal", "time": "t"}},
            "stratify needs mode exact: it is temporal",
        ),
        (
            {"split": {"group": "user", "mode": "temporal", "time": "t"}},
            "group needs mode exact: it is temporal",
        ),
        ({"dedup": {"near": {"action": "group"}}, "split": {"mode": "threshold"}}, "near.action group needs"),
    ],
)
def test_other_modes_with_groups_are_refused_in_one_line(preprocessing, words) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        build([Layer({"preprocessing": preprocessing})])
    assert "\n" not in str(refused.value)


def test_leaks_are_counted_exactly() -> None:
    random = np.random.default_rng(3)
    for budget in (1000, 10**9):
        keys = random.integers(0, 40, (500, 2)).astype(np.uint64)
        fate = random.choice(np.array([0, 0, 0, 0, 0, 0, 1, 2, 3, 6], np.uint8), 500)
        blocks = [(keys[start : start + 70], fate[start : start + 70]) for start in range(0, 500, 70)]
        splits = defaultdict(set)
        for key, code in zip(map(tuple, keys.tolist()), fate.tolist(), strict=True):
            if code <= Fate.TEST:
                splits[key].add(code)
        torn = sum(len(result) > 1 for result in splits.values())
        assert leaks.count(partial(iter, blocks), sum(len(fate) for _, fate in blocks), budget) == torn > 0


def test_a_leak_ends_the_run(source, tmp_path, monkeypatch) -> None:
    from forge_gpu.split import exact, groups

    monkeypatch.setattr(groups, "assign", lambda group, *rest: _torn(exact.assign(*rest)))
    with pytest.raises(ValidationError, match="groups in several splits"):
        jobs.run(jobs.plan(source, preprocessing={"split": {"group": "user"}}), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def _torn(fates):
    from forge_gpu.split.groups import GroupSplit

    return GroupSplit(fates, ())


def test_equal_rows_that_were_kept_are_only_counted(tmp_path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"instruction": "q", "output": "abc"}] * 50)
    events: list[Event] = []
    config = jobs.plan(source, preprocessing={"dedup": {"exact": False}})
    result = jobs.run(config, tmp_path / "out", listener=events.append)
    assert [event.message[:37] for event in events if isinstance(event, Warned)] == [
        "1 dedup keys are in several splits: e"
    ]
    assert result.manifest["verified"]["keys_in_several_splits"] == 1
    assert json.loads((tmp_path / "out" / "manifest.json").read_bytes())["counts"]["train"] == 45
