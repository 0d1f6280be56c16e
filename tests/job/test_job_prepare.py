"""A whole job: what it writes, and that every row is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import StrictError
from forge_gpu.job.events.events import Event
from tests.job import jobs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(400))


def query(row: dict) -> str:
    return row["instruction"] + ("\n" + row["input"] if row["input"] else "")


def test_writes_every_row_once_and_as_the_template_says(source: Path, tmp_path: Path) -> None:
    rows = jobs.read_lines(source)
    result = jobs.run(jobs.plan(source), tmp_path / "out")
    texts = [jobs.CHATML.format(query=query(row), response=row["output"]) for row in rows]
    first = {text: number for number, text in reversed(list(enumerate(texts)))}
    written = [
        line["text"]
        for split in ("train", "validation")
        for line in jobs.read_lines(tmp_path / "out" / f"{split}.jsonl")
    ]
    assert sorted(written) == sorted(first)
    assert result.counts["train"] + result.counts["validation"] == len(first)
    assert result.counts["validation"] == round(len(first) * 0.1)
    assert result.counts["duplicate"] == len(rows) - len(first)
    ledger = pq.read_table(tmp_path / "out" / "ledger.parquet").to_pylist()
    assert [entry["row"] for entry in ledger] == list(range(len(rows)))
    for number, entry in enumerate(ledger):
        if entry["fate"] == "duplicate":
            assert entry["duplicate_of_row"] == first[texts[number]]
        else:
            line = jobs.lines(tmp_path / "out" / entry["shard"])[entry["line"] - 1]
            assert json.loads(line)["text"] == texts[number]


def test_keeps_the_order_of_the_input(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source), tmp_path / "out")
    numbers = [
        int(line["text"].split("Task ")[1].split(":")[0])
        for line in jobs.read_lines(tmp_path / "out/train.jsonl")
    ]
    assert numbers == sorted(numbers)


def test_the_same_bytes_for_any_chunks_threads_and_ranges_of_reading(source: Path, tmp_path: Path) -> None:
    config = jobs.plan(
        source, output={"columns": ["category", "score"]}, preprocessing={"split": {"stratify": "category"}}
    )
    jobs.run(config, tmp_path / "0", chunk_bytes=10**6, range_bytes=10**6)
    want = jobs.content(tmp_path / "0")
    for number, (threads, chunk, part) in enumerate([(1, 1, 10**6), (2, 700, 3000), (3, 5000, 1000)], 1):
        jobs.run(config, tmp_path / str(number), threads=threads, chunk_bytes=chunk, range_bytes=part)
        assert jobs.content(tmp_path / str(number)) == want


def test_strata_are_split_within_one_row(source: Path, tmp_path: Path) -> None:
    config = jobs.plan(
        source, output={"columns": ["category"]}, preprocessing={"split": {"stratify": "category"}}
    )
    jobs.run(config, tmp_path / "out")
    train, validation = (
        Counter(line["category"] for line in jobs.read_lines(tmp_path / f"out/{split}.jsonl"))
        for split in ("train", "validation")
    )
    for category, count in validation.items():
        assert abs(count - 0.1 * (count + train[category])) <= 1


def test_bad_rows_are_rejected_with_their_reason_and_source(tmp_path: Path) -> None:
    good = {"instruction": "q", "input": "", "output": "an answer"}
    lines = [
        json.dumps(good).encode(),
        b'{"instruction": "q", "input": "", "output": }',
        b"",
        b'{"instruction": "q", "input": ""}',
        b'{"instruction": null, "output": "x y z"}',
        b'{"instruction": "\xff", "output": "x y z"}',
        b'{"instruction": "\\ud800", "output": "x y z"}',
        b"[1]",
        b'{"instruction": "  ", "output": "x y z"}',
    ]
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"\n".join(lines))
    result = jobs.run(jobs.plan(source), tmp_path / "out")
    rejected = jobs.read_lines(tmp_path / "out/rejected.jsonl")
    assert [(entry["row"], entry["line"], entry["reason"]) for entry in rejected] == [
        (1, 2, "invalid_json"),
        (2, 4, "missing_field"),
        (3, 5, "null_field"),
        (4, 6, "invalid_utf8"),
        (5, 7, "lone_surrogate"),
        (6, 8, "not_an_object"),
        (7, 9, "empty_field"),
    ]
    assert rejected[0]["source"].encode() == lines[1]
    assert rejected[3]["source_base64"]
    assert all(
        lines[entry["line"] - 1] == source.read_bytes()[entry["offset"] :].split(b"\n")[0]
        for entry in rejected
    )
    assert result.counts["rejected"] == 7 and result.counts["train"] == 1


def test_strict_stops_at_the_first_rejected_row(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "q", "output": "abc"}\n\n{"instruction": "q"}\n')
    reported = r"rows.jsonl: line 3 is rejected: missing_field: 'output' is missing"
    with pytest.raises(StrictError, match=reported):
        jobs.run(jobs.plan(source), tmp_path / "out", strict=True)
    result = jobs.run(jobs.plan(source), tmp_path / "out", strict=True, limit=1)  # it is past the limit
    assert result.counts["train"] == 1


def test_strict_sees_what_an_earlier_run_let_pass(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "q"}\n')

    def stop(event: Event) -> None:
        if event.stage == "decide":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=stop)
    assert list((tmp_path / "out/.forge/index").glob("*.index"))
    with pytest.raises(StrictError, match="line 1 is rejected"):
        jobs.run(jobs.plan(source), tmp_path / "out", strict=True)


def test_more_rejected_rows_than_allowed_end_the_run(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "q", "output": "abc"}\n{"instruction": "q"}\n')
    assert jobs.run(jobs.plan(source, data={"max_rejected": 1}), tmp_path / "a").counts["rejected"] == 1
    with pytest.raises(StrictError, match="max_rejected"):
        jobs.run(jobs.plan(source, data={"max_rejected": 0}), tmp_path / "b")


def test_an_empty_input_makes_empty_files(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"")
    result = jobs.run(jobs.plan(source), tmp_path / "out")
    assert sum(result.counts.values()) == 0
    assert (tmp_path / "out/train.jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "out/ledger.parquet").num_rows == 0
    assert result.splits["train"].to_pandas().shape == (0, 1)


def test_limit_takes_the_first_rows(source: Path, tmp_path: Path) -> None:
    result = jobs.run(jobs.plan(source), tmp_path / "out", limit=123)
    assert sum(result.counts.values()) == 123
    head = tmp_path / "head.jsonl"
    head.write_text("".join(line + "\n" for line in jobs.lines(source)[:123]))
    jobs.run(jobs.plan(head), tmp_path / "head")
    assert (tmp_path / "out/train.jsonl").read_bytes() == (tmp_path / "head/train.jsonl").read_bytes()


def test_shards_hold_the_rows_of_one_file(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source), tmp_path / "one")
    result = jobs.run(jobs.plan(source, output={"rows_per_shard": 50}), tmp_path / "many", threads=2)
    paths = jobs.paths(result)
    assert b"".join(path.read_bytes() for path in paths) == (tmp_path / "one/train.jsonl").read_bytes()
    assert [len(jobs.lines(path)) for path in paths[:-1]] == [50] * (len(paths) - 1)
    assert paths[0].name == f"train-00000-of-{len(paths):05d}.jsonl"


def test_a_shuffle_is_seeded_whole_and_the_same_for_any_chunks(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source), tmp_path / "plain")
    shuffled = jobs.plan(source, output={"order": "shuffled", "rows_per_shard": 64})
    a = jobs.run(shuffled, tmp_path / "a")
    b = jobs.run(shuffled, tmp_path / "b", threads=2, chunk_bytes=500)
    other = jobs.run(
        jobs.plan(source, output={"order": "shuffled"}, preprocessing={"seed": 7}), tmp_path / "c"
    )
    assert jobs.content(tmp_path / "a") == jobs.content(tmp_path / "b")
    lines = [line for path in jobs.paths(a) for line in jobs.lines(path)]
    plain = jobs.lines(tmp_path / "plain/train.jsonl")
    assert lines != plain and sorted(lines) == sorted(plain)
    assert lines != jobs.lines(jobs.paths(other)[0])
    assert b.counts == a.counts
    for entry in pq.read_table(tmp_path / "a/ledger.parquet").to_pylist()[:50]:
        if entry["shard"]:
            line = jobs.lines(tmp_path / "a" / entry["shard"])[entry["line"] - 1]
            assert f"Task {entry['row']}:" in json.loads(line)["text"]


def test_parquet_holds_the_same_rows_with_types(source: Path, tmp_path: Path) -> None:
    output = {"columns": ["category", "score"]}
    lines = jobs.run(jobs.plan(source, output=output), tmp_path / "jsonl")
    table = jobs.run(
        jobs.plan(source, output=output | {"format": "parquet"}), tmp_path / "parquet", threads=2
    )
    again = jobs.run(
        jobs.plan(source, output=output | {"format": "parquet"}), tmp_path / "again", chunk_bytes=300
    )
    assert table.splits["train"].to_arrow().equals(lines.splits["train"].to_arrow())
    assert jobs.content(tmp_path / "parquet") == jobs.content(tmp_path / "again")
    assert again.manifest["columns"] == {"text": "string", "category": "string", "score": "json"}
    want = jobs.read_lines(tmp_path / "jsonl/train.jsonl")
    have = pq.read_table(tmp_path / "parquet/train.parquet").to_pylist()
    assert [row["text"] for row in have] == [row["text"] for row in want]
    assert [json.loads(row["score"]) if row["score"] else None for row in have] == [
        row["score"] for row in want
    ]


def test_kept_columns_keep_their_spelling(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(
        '{"instruction": "q1", "output": "abc", "n": 1E5, "s": "\\u0041\\/", "o": {"a" : [1,  2]}}\n'
        '{"instruction": "q2", "output": "abc", "n": 123456789012345678901234567890, "o": null}\n'
    )
    jobs.run(jobs.plan(source, output={"columns": ["n", "s", "o"]}), tmp_path / "out")
    first, second = jobs.lines(tmp_path / "out/train.jsonl")
    assert first.endswith('"n":1E5,"s":"\\u0041\\/","o":{"a" : [1,  2]}}')
    assert second.endswith('"n":123456789012345678901234567890,"o":null}')


def test_the_form_source_gives_the_records_back(source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source, output={"form": "source"}), tmp_path / "out")
    want = list(dict.fromkeys(jobs.lines(source)))
    train, validation = (jobs.lines(tmp_path / f"out/{split}.jsonl") for split in ("train", "validation"))
    assert sorted(train + validation) == sorted(want)


@pytest.mark.parametrize("form", ["prompt_completion", "messages"])
def test_other_forms(form: str, source: Path, tmp_path: Path) -> None:
    jobs.run(jobs.plan(source, output={"form": form}), tmp_path / "out")
    rows = {query(row): row for row in jobs.read_lines(source)}
    for line in jobs.read_lines(tmp_path / "out/train.jsonl"):
        if form == "messages":
            user, assistant = line["messages"]
            assert rows[user["content"]]["output"] == assistant["content"]
        else:
            question = line["prompt"].removeprefix("<|im_start|>user\n").split("<|im_end|>")[0]
            assert line["completion"] == rows[question]["output"] + "<|im_end|>"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=12))
def test_any_text_is_rendered_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    pairs = [pair for pair in pairs if all(c < "\ud800" or c > "\udfff" for text in pair for c in text)]
    source = jobs.write_lines(folder / "rows.jsonl", [{"instruction": q, "output": r} for q, r in pairs])
    checks = {"empty": "off"}
    jobs.run(jobs.plan(source, preprocessing={"quality_checks": checks}), folder / "out")
    written = [
        line["text"]
        for split in ("train", "validation")
        for line in jobs.read_lines(folder / f"out/{split}.jsonl")
    ]
    assert sorted(written) == sorted({jobs.CHATML.format(query=q, response=r) for q, r in pairs})


def test_small_input_is_held_and_large_is_streamed_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    streamed = jobs.run(jobs.plan(source), tmp_path / "streamed")
    held = jobs.run(jobs.plan(source, preprocessing={"streaming_threshold_gb": "auto"}), tmp_path / "held")
    assert not held.used_streaming and streamed.used_streaming
    assert jobs.content(tmp_path / "held") == jobs.content(tmp_path / "streamed")


@pytest.mark.parametrize("rows", [1, 37, 10**6])
def test_a_chunk_size_in_rows(rows: int, source: Path, tmp_path: Path) -> None:
    result = jobs.run(
        jobs.plan(source, preprocessing={"chunk_size": rows}), tmp_path / "sized", chunk_bytes=10**5
    )
    mean = source.stat().st_size / 400
    assert result.manifest["run"]["chunk_bytes"] == pytest.approx(min(rows * mean, 10**5), rel=0.3)
    jobs.run(jobs.plan(source), tmp_path / "auto")
    assert jobs.content(tmp_path / "sized") == jobs.content(tmp_path / "auto")


def test_a_temporal_split_keeps_the_newest_for_validation(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"q{day}", "output": "an answer", "when": f"2026-01-{day:02}T00:00:00Z"}
        for day in range(1, 31)
    ]
    rows[7]["when"] = "yesterday"
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows[::-1])
    split = {"mode": "temporal", "time": "when"}
    plan = jobs.plan(source, preprocessing={"split": split}, output={"columns": ["when"]})
    result = jobs.run(plan, tmp_path / "out")
    train, validation = (
        [line["when"] for line in jobs.read_lines(tmp_path / f"out/{name}.jsonl")]
        for name in ("train", "validation")
    )
    assert max(train) < min(validation) and len(validation) == 3
    assert result.manifest["rejected"] == {"unparsable_time": 1}


def test_a_threshold_split_does_not_move_rows_when_data_is_added(tmp_path: Path) -> None:
    rows = jobs.rows(300)
    few = jobs.write_lines(tmp_path / "few.jsonl", rows[:200])
    many = jobs.write_lines(tmp_path / "many.jsonl", rows)
    for source in (few, many):
        jobs.run(jobs.plan(source, preprocessing={"split": {"mode": "threshold"}}), tmp_path / source.stem)
    for split in ("train", "validation"):
        before = jobs.lines(tmp_path / f"few/{split}.jsonl")
        assert jobs.lines(tmp_path / f"many/{split}.jsonl")[: len(before)] == before
