"""Decontamination in a whole job: rows that match evaluation files are left out, and the ledger says why."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.errors import ConfigError, InputError, Interrupted
from forge_gpu.job.events.events import Event, Warned
from tests.job import jobs, similar

FLAT = {"shape": "flat", "query": "question"}


@pytest.fixture
def chance() -> random.Random:
    return random.Random(4)


@pytest.fixture
def rows(chance) -> list[dict]:
    return [
        {"instruction": similar.text(chance, 30), "input": "", "output": f"answer {n}"} for n in range(60)
    ]


@pytest.fixture
def source(rows, tmp_path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", rows)


@pytest.fixture
def evaluation(rows, chance, tmp_path) -> list[str]:
    """Two files: the first quotes row 7 in a text of its own, the second has row 11 and nearly row 13."""
    words = rows[7]["instruction"].split()[5:20]
    quoted = similar.text(chance, 10) + " " + ", ".join(words).upper() + " " + similar.text(chance, 10)
    first = jobs.write_lines(
        tmp_path / "one.jsonl", [{"question": similar.text(chance)}, {"question": quoted}]
    )
    near = similar.edited(rows[13]["instruction"], chance, 2)
    second = [{"question": text} for text in (similar.text(chance), near, rows[11]["instruction"])]
    jobs.write_lines(tmp_path / "two.jsonl", second)
    (tmp_path / "two.jsonl.gz").write_bytes(gzip.compress((tmp_path / "two.jsonl").read_bytes()))
    return [str(first), str(tmp_path / "two.jsonl.gz")]


def plan(source: Path, evaluation: list[str], mapping: dict | None = FLAT, **rules):
    base = jobs.plan(source).data.model_dump()
    data = base | {"against": evaluation, "against_mapping": mapping}
    return jobs.plan(source, data=data, preprocessing={"decontamination": rules} if rules else {})


def matches(output: Path) -> dict[int, tuple]:
    result = {}
    for entry in pq.read_table(output / "ledger.parquet").to_pylist():
        assert (entry["fate"] == "contaminated") == (entry["matched_row"] is not None)
        if entry["matched_row"] is not None:
            file = Path(entry["matched_file"]).name
            result[entry["row"]] = (file, entry["matched_row"], entry["matched_by"], entry["similarity"])
    return result


def test_the_ledger_says_what_a_row_matched_and_by_which_rule(source, rows, evaluation, tmp_path) -> None:
    result = jobs.run(plan(source, evaluation), tmp_path / "out")
    outcome = matches(tmp_path / "out")
    assert set(outcome) == {7, 11, 13} and result.counts["contaminated"] == 3
    assert outcome[7] == ("one.jsonl", 1, "ngram", None)
    assert outcome[11] == ("two.jsonl.gz", 2, "minhash", 1.0)
    assert outcome[13][:3] == ("two.jsonl.gz", 1, "minhash") and 0.8 <= outcome[13][3] < 1
    written = (tmp_path / "out/train.jsonl").read_text() + (tmp_path / "out/validation.jsonl").read_text()
    assert [row for row in range(60) if rows[row]["instruction"] not in written] == [7, 11, 13]
    assert [file["rows"] for file in result.manifest["against"]["files"]] == [2, 3]


def test_each_rule_can_be_switched_off(source, evaluation, tmp_path) -> None:
    jobs.run(plan(source, evaluation, threshold=None), tmp_path / "ngram")
    assert {row: match[2] for row, match in matches(tmp_path / "ngram").items()} == dict.fromkeys(
        (7, 11, 13), "ngram"
    )
    jobs.run(plan(source, evaluation, ngram=None), tmp_path / "minhash")
    assert set(matches(tmp_path / "minhash")) == {11, 13}
    with pytest.raises(ConfigError, match="both null"):
        jobs.run(plan(source, evaluation, ngram=None, threshold=None), tmp_path / "none")


def test_the_same_bytes_for_any_chunks_and_after_a_stop(source, evaluation, tmp_path) -> None:
    config = plan(source, evaluation)
    jobs.run(config, tmp_path / "a")
    jobs.run(config, tmp_path / "b", threads=2, chunk_bytes=700, range_bytes=2500)
    assert jobs.content(tmp_path / "a") == jobs.content(tmp_path / "b")

    def stop() -> None:
        if any((tmp_path / "c/.forge/index").glob("*.index")):
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        jobs.run(config, tmp_path / "c", check_stop=stop, range_bytes=2500)
    jobs.run(config, tmp_path / "c", range_bytes=2500)
    assert jobs.content(tmp_path / "a") == jobs.content(tmp_path / "c")


def test_changed_evaluation_files_start_the_job_anew(source, rows, evaluation, tmp_path) -> None:
    jobs.run(plan(source, evaluation), tmp_path / "out")
    with open(evaluation[0], "a") as file:
        file.write(json.dumps({"question": rows[20]["instruction"]}) + "\n")
    events: list[Event] = []
    result = jobs.run(plan(source, evaluation), tmp_path / "out", listener=events.append)
    assert result.counts["contaminated"] == 4
    assert any(
        isinstance(event, Warned) and "the evaluation files changed" in event.message for event in events
    )


def test_a_contaminated_row_is_no_survivor(rows, evaluation, tmp_path) -> None:
    """Equal rows are contaminated alike; a near-duplicate of a contaminated row is judged by itself."""
    source = jobs.write_lines(tmp_path / "twice.jsonl", rows + rows)
    result = jobs.run(plan(source, evaluation), tmp_path / "out")
    assert result.counts["contaminated"] == 6 and result.counts["duplicate"] == 57
    assert set(matches(tmp_path / "out")) == {7, 11, 13, 67, 71, 73}


def test_questions_of_a_conversation_are_compared(rows, tmp_path) -> None:
    talks = [
        {
            "messages": [
                {"role": "user", "content": row["instruction"]},
                {"role": "assistant", "content": "An answer."},
            ]
        }
        for row in rows
    ]
    source = jobs.write_lines(tmp_path / "talks.jsonl", talks)
    asked = [{"messages": talks[9]["messages"][:1]}]
    against = jobs.write_lines(tmp_path / "asked.jsonl", asked)
    data = {"inputs": [str(source)], "mapping": {"shape": "conversation", "messages": "messages"}}
    jobs.run(
        jobs.plan(data=data | {"against": [str(against)]}, output={"form": "messages"}), tmp_path / "out"
    )
    assert set(matches(tmp_path / "out")) == {9}


def test_an_evaluation_file_without_queries_is_refused(source, evaluation, tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"one.jsonl: no row has a query in 'instruction'; name its column with"
    ):
        jobs.run(plan(source, evaluation, mapping=None), tmp_path / "out")
    with pytest.raises(InputError, match="nowhere"):
        jobs.run(plan(source, [str(tmp_path / "nowhere.jsonl")]), tmp_path / "out")


def test_rows_without_a_query_are_told(source, evaluation, tmp_path) -> None:
    with open(evaluation[0], "a") as file:
        file.write('{"question": null}\nno json\n')
    events: list[Event] = []
    jobs.run(plan(source, evaluation), tmp_path / "out", listener=events.append)
    reported = [event.message for event in events if isinstance(event, Warned)]
    assert any("2 of 4 rows have no query" in message for message in reported)


def test_the_library_takes_evaluation_files_from_the_current_folder(
    source, evaluation, tmp_path, monkeypatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    config = plan(source, []).model_copy()
    from forge_gpu.config.write import save

    save(tmp_path / "elsewhere" / "forge.yaml", config, {})
    monkeypatch.chdir(tmp_path)
    result = forge_gpu.prepare("elsewhere/forge.yaml", against=["one.jsonl"], output="out")
    assert result.counts["contaminated"] == 1
    assert matches(tmp_path / "out")[7][0] == "one.jsonl"
