"""Near-duplicates in a whole job, against brute-force Jaccard."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import ConfigError, InputError, Interrupted
from tests.job import jobs, similar

NEAR: dict[str, Any] = {"preprocessing": {"dedup": {"near": {}}}}


def near(**settings) -> dict:
    return {"preprocessing": {"dedup": {"near": settings}}}


def ledger_of(output: Path) -> list[dict]:
    return pq.read_table(output / "ledger.parquet").to_pylist()


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return similar.rows(300)


@pytest.fixture(scope="module")
def source(rows, tmp_path_factory) -> Path:
    return jobs.write_lines(tmp_path_factory.mktemp("near") / "rows.jsonl", rows)


@pytest.fixture(scope="module")
def truth(rows) -> tuple[dict[int, int], dict[tuple[int, int], float]]:
    """The cluster of each row that is no exact duplicate, and the pairs."""
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows):
        first.setdefault((row["instruction"], row["output"]), number)
    unique = sorted(first.values())
    result = similar.pairs([rows[number] for number in unique])
    label = similar.components(len(unique), result)
    by_row = {number: unique[label[place]] for place, number in enumerate(unique)}
    return by_row, {(unique[a], unique[b]): value for (a, b), value in result.items()}


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "out"
    jobs.run(jobs.plan(source, **NEAR), output)
    return output


def test_removes_what_brute_force_finds_and_nothing_else(whole, rows, truth) -> None:
    label, result = truth
    ledger = ledger_of(whole)
    removed = {entry["row"] for entry in ledger if entry["fate"] == "near_duplicate"}
    assert len(removed) > 40
    assert removed == {row for row, head in label.items() if head != row}
    for row in removed:
        entry = ledger[row]
        assert entry["duplicate_of_row"] == entry["cluster_row"] == label[row]
        pair = tuple(sorted((row, entry["similar_row"])))
        assert entry["similarity"] == result[pair] >= 0.8
        assert label[entry["similar_row"]] == label[row]
    alone = [row for row in label if list(label.values()).count(label[row]) == 1]
    assert all(ledger[row]["cluster_row"] is None and ledger[row]["similarity"] is None for row in alone)
    manifest = json.loads((whole / "manifest.json").read_bytes())
    reported = manifest["near_duplicates"]
    assert (
        reported["rows_in_clusters"] - reported["clusters"]
        == manifest["counts"]["near_duplicate"]
        == len(removed)
    )
    assert (reported["bands"], reported["rows_a_band"], reported["threshold"]) == (21, 6, 0.8)
    assert manifest["verified"]["clusters_in_several_splits"] == 0


@pytest.mark.parametrize(
    ("threads", "chunk", "part", "memory"),
    [(2, 700, 3000, 2**24), (1, 10**6, 10**7, 2**24), (2, 5000, 20000, 2**14)],
)
def test_the_same_bytes_for_any_chunks_threads_ranges_and_budget(
    threads, chunk, part, memory, source, whole, tmp_path
) -> None:
    jobs.run(
        jobs.plan(source, **NEAR),
        tmp_path / "out",
        threads=threads,
        chunk_bytes=chunk,
        range_bytes=part,
        memory=memory,
    )
    assert jobs.content(tmp_path / "out") == jobs.content(whole)
    assert not list((tmp_path / "out" / ".forge").glob("candidates*"))


@pytest.mark.parametrize("chunks", [3, 17, 25, 45])
def test_a_stopped_job_goes_on_to_the_same_bytes(chunks, source, whole, tmp_path) -> None:
    with pytest.raises(Interrupted):
        jobs.run(jobs.plan(source, **NEAR), tmp_path / "out", **jobs.stop_after(chunks), threads=2)
    jobs.run(jobs.plan(source, **NEAR), tmp_path / "out")
    assert jobs.content(tmp_path / "out") == jobs.content(whole)


def standing(score: Callable[[int], int], row: int) -> tuple[int, int]:
    """By which of a cluster's rows one survives: the earliest of those with the highest score."""
    return score(row), -row


def test_keeps_the_longest_or_the_highest_number(source, rows, truth, tmp_path) -> None:
    label, _ = truth
    members: dict[int, list[int]] = {}
    for row, head in label.items():
        members.setdefault(head, []).append(row)

    def size(row: int) -> int:
        return len(rows[row]["instruction"]) + len(rows[row]["output"])

    scores: dict[str, Callable[[int], int]] = {"longest": size, "score": lambda row: rows[row]["score"]}
    for keep, score in scores.items():
        jobs.run(jobs.plan(source, **near(keep=keep)), tmp_path / keep)
        want = {max(result, key=partial(standing, score)) for result in members.values()}
        retained = {
            entry["row"] for entry in ledger_of(tmp_path / keep) if entry["fate"] in ("train", "validation")
        }
        assert retained == want


def test_a_column_without_numbers_is_refused(source, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"dedup.near.keep: no row has a number in the column 'category'"):
        jobs.run(jobs.plan(source, **near(keep="category")), tmp_path / "out")


def test_the_template_makes_nothing_alike(tmp_path) -> None:
    """Rows with hardly a word of their own, in a template of many."""
    chance = random.Random(1)
    made = [{"instruction": similar.text(chance, 3), "output": similar.text(chance, 3)} for _ in range(60)]
    source = jobs.write_lines(tmp_path / "rows.jsonl", made)
    model = {
        "template_kind": "format",
        "chat_template": "many words of a template " * 20 + "{instruction} {output}",
    }
    result = jobs.run(jobs.plan(source, model=model, **NEAR), tmp_path / "out")
    assert result.counts["near_duplicate"] == 0


def test_the_input_column_is_part_of_the_query(tmp_path) -> None:
    chance = random.Random(2)
    text = similar.text(chance)
    made = [
        {"instruction": "Summarise this.", "input": similar.text(chance), "output": "A summary."}
        for _ in range(9)
    ]
    made += [{"instruction": "Summarise this.", "input": text, "output": "A summary."}] * 1
    made += [{"instruction": "Summarise this!", "input": text, "output": "A summary."}]
    source = jobs.write_lines(tmp_path / "rows.jsonl", made)
    jobs.run(jobs.plan(source, **NEAR), tmp_path / "out")
    fates = [
        (entry["row"], entry["duplicate_of_row"])
        for entry in ledger_of(tmp_path / "out")
        if entry["similarity"]
    ]
    assert fates == [(9, None), (10, 9)]


def test_roles_that_the_rows_lack_are_refused(source, tmp_path) -> None:
    with pytest.raises(
        ConfigError, match=r"near.roles: the rows have no system; they have query, input, response"
    ):
        jobs.run(jobs.plan(source, **near(roles=["system"])), tmp_path / "out")


@pytest.mark.parametrize("shape", ["conversation", "preference", "text"])
def test_other_shapes_of_records(shape, tmp_path) -> None:
    chance = random.Random(3)
    answers = [similar.text(chance) for _ in range(6)]
    answers.append(similar.edited(answers[2], chance, 2))
    records: list[dict[str, Any]]
    if shape == "conversation":
        records = [
            {"messages": [{"role": "user", "content": "Tell me."}, {"role": "assistant", "content": answer}]}
            for answer in answers
        ]
        mapping, form = {"messages": "messages"}, "messages"
    elif shape == "preference":
        records = [{"q": "Tell me.", "good": answer, "bad": answer[::-1]} for answer in answers]
        mapping, form = {"query": "q", "chosen": "good", "rejected": "bad"}, "source"
    else:
        records = [{"text": answer} for answer in answers]
        mapping, form = {"text": "text"}, "source"
    source = jobs.write_lines(tmp_path / "rows.jsonl", records)
    data = {"inputs": [str(source)], "mapping": {"shape": shape, **mapping}}
    jobs.run(jobs.plan(data=data, output={"form": form}, **NEAR), tmp_path / "out")
    ledger = ledger_of(tmp_path / "out")
    assert [entry["row"] for entry in ledger if entry["fate"] == "near_duplicate"] == [6]
    assert ledger[6]["duplicate_of_row"] == 2


def test_an_input_that_changes_before_the_third_pass_ends_the_run(rows, tmp_path) -> None:
    import os

    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    data = source.read_bytes()

    def change(event) -> None:
        if event.stage == "decide":
            status = source.stat()
            source.write_bytes(data.replace(b" ", b"", 400).ljust(len(data)))
            os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    config = jobs.plan(source, preprocessing={"dedup": {"near": {}}, "streaming_threshold_gb": 0.0})
    with pytest.raises(InputError, match="changed while it was read"):
        jobs.run(config, tmp_path / "out", listener=change)


def test_limit_cuts_the_bands_too(source, rows, tmp_path) -> None:
    jobs.run(jobs.plan(source, **NEAR), tmp_path / "limited", limit=123)
    head = jobs.write_lines(tmp_path / "head.jsonl", rows[:123])
    jobs.run(jobs.plan(head, **NEAR), tmp_path / "head")
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "limited" / name).read_bytes() == (tmp_path / "head" / name).read_bytes()


def test_without_the_key_there_is_nothing_of_it(source, tmp_path) -> None:
    result = jobs.run(jobs.plan(source), tmp_path / "out")
    assert "near_duplicates" not in result.manifest
    assert "similarity" not in pq.read_schema(tmp_path / "out" / "ledger.parquet").names
    assert np.count_nonzero([entry["fate"] == "near_duplicate" for entry in ledger_of(tmp_path / "out")]) == 0
