"""Several rows made of one: an expansion that is declared runs in whole jobs, and each part has its fate."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import Interrupted, StrictError, ValidationError
from forge_gpu.fates import Fate, Reason
from forge_gpu.job.output.result import Result
from forge_gpu.job.rows import expansions
from forge_gpu.job.rows.expansion import Expanded, Expansion, expand
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records
from forge_gpu.templates.renderer import plain_spans
from tests.job import jobs


def cut(config: Config, engine: Engine, records: Records, separator: str = "|") -> Expanded:
    """A row for each piece of the answer; none for an answer of nothing; a piece `!` is rejected. A row that
    lacks the answer stays as it is."""
    column = records.columns["output"]
    text = engine.text(column)
    source: list[int] = []
    pieces: list[bytes | None] = []
    for row in range(len(records)):
        lacks = column.kind[row] in (layout.ABSENT, layout.NULL)
        made = [None] if lacks else filter(None, text.row(row).split(separator.encode()))
        for piece in made:
            source.append(row)
            pieces.append(piece)
    reason = np.array([Reason.TOO_SHORT if piece == b"!" else 0 for piece in pieces], np.uint8)
    return Expanded(np.array(source, np.int64), {"output": plain_spans(pieces)}, reason)


def cut_again(config: Config, engine: Engine, records: Records) -> Expanded:
    return cut(config, engine, records, "/")


def declaration(name: str, expand: Any, fate: Fate) -> Expansion:
    return Expansion(name, lambda config: True, expand, fate, lambda config: ["output"])


PIECES = declaration("pieces", cut, Fate.UNSAMPLED)
HALVES = declaration("halves", cut_again, Fate.CONTAMINATED)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansions, "DECLARED", (PIECES,))


def answers(count: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(count):
        pieces = [f"answer {number} {'abc'[piece]} " + "word " * (number % 9) for piece in range(number % 4)]
        if number % 11 == 5:
            pieces[:1] = ["!"]
        if number % 13 == 7:
            pieces.append("the same answer for all")
        rows.append({"instruction": f"Task {number % 50}", "output": "|".join(pieces), "time": number})
    rows[20] = {"instruction": "without an answer"}
    return rows


def expected_parts(row: dict[str, Any]) -> list[str]:
    return [piece for piece in row.get("output", "").split("|") if piece]


def ledger_of(output: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(output / "ledger.parquet").to_pylist()
    return rows


def settings(**more: Any) -> dict[str, Any]:
    mapping = {"shape": "flat", "query": "instruction", "response": "output"}
    return {"data": {"mapping": mapping, **more.pop("data", {})}, **more}


def run(tmp_path: Path, name: str, rows: Sequence[dict[str, Any]], **more: Any) -> Result:
    source = tmp_path / "rows.jsonl"
    if not source.exists():
        jobs.write_lines(source, list(rows))
    options = {key: more.pop(key) for key in ("threads", "chunk_bytes", "limit", "strict") if key in more}
    sections = settings(**more)
    sections["data"]["inputs"] = [str(source)]
    return jobs.run(jobs.plan(source, **sections), tmp_path / name, **options)


def test_every_part_has_a_fate_and_a_row_without_parts_one(declared: None, tmp_path: Path) -> None:
    rows = answers(200)
    result = run(tmp_path, "out", rows)
    ledger = ledger_of(tmp_path / "out")
    by_row: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in ledger:
        by_row[entry["row"]].append(entry)
    assert sorted(by_row) == list(range(200))
    for number, row in enumerate(rows):
        parts = expected_parts(row)
        numbers = [entry["part"] for entry in by_row[number]]
        ends = [(entry["fate"], entry["reason"]) for entry in by_row[number]]
        if "output" not in row:
            assert (ends, numbers) == ([("rejected", "missing_field")], [0])
        elif not parts:
            assert (ends, numbers) == ([("unsampled", None)], [None])
        else:
            assert numbers == list(range(len(parts)))
        for part, entry in zip(parts, by_row[number], strict=False):
            assert (entry["fate"] == "rejected") == (part == "!")
    document = result.manifest
    assert (document["rows"], document["parts"]) == (200, len(ledger))
    assert sum(document["counts"].values()) == len(ledger)
    assert document["inputs"][0]["rows"] == 200


def test_pointers_to_rows_name_their_parts(declared: None, tmp_path: Path) -> None:
    rows = [
        {"instruction": "a", "output": "one|two and more words of it"},
        {"instruction": "a", "output": "three|two and more words of it|two and more words of it!"},
        {"instruction": "b", "output": "!"},
    ]
    near = {"dedup": {"near": {"threshold": 0.5}}}
    run(tmp_path, "out", rows, preprocessing=near, output={"columns": ["instruction"]})
    ledger = ledger_of(tmp_path / "out")
    exact, similar = ledger[3], ledger[4]
    assert [exact[f"duplicate_of_{key}"] for key in ("row", "part")] == [0, 1]
    assert similar["fate"] == "near_duplicate"
    assert [similar[f"{what}_{key}"] for what in ("cluster", "similar") for key in ("row", "part")] == [
        *(0, 1),
        *(0, 1),
    ]
    [rejected] = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    record = json.loads(rejected)
    assert (record["row"], record["part"], record["line"]) == (2, 0, 3)
    assert json.loads(record["source"]) == rows[2]


@pytest.mark.parametrize("mode", ["exact", "threshold"])
def test_no_row_is_torn_by_a_split(mode: str, declared: None, tmp_path: Path) -> None:
    split = {"split": {"mode": mode}, "validation_split": 0.4, "train_split": 0.6}
    run(tmp_path, "out", answers(300), preprocessing=split)
    splits: dict[int, set[str]] = defaultdict(set)
    for entry in ledger_of(tmp_path / "out"):
        if entry["fate"] in ("train", "validation"):
            splits[entry["row"]].add(entry["fate"])
    assert {len(fates) for fates in splits.values()} == {1}
    assert {fate for fates in splits.values() for fate in fates} == {"train", "validation"}


def test_in_temporal_mode_parts_have_the_time_of_their_row(declared: None, tmp_path: Path) -> None:
    split = {"split": {"mode": "temporal", "time": "time"}, "validation_split": 0.4, "train_split": 0.6}
    run(tmp_path, "out", answers(100), preprocessing=split)
    fates = [entry["fate"] for entry in ledger_of(tmp_path / "out")]
    assert fates.index("validation") > max(place for place, fate in enumerate(fates) if fate == "train")


def outputs(result: Result) -> dict[str, str]:
    assert isinstance(result.output, Path)
    return jobs.content(result.output)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_bytes_depend_neither_on_chunks_nor_on_threads(format: str, declared: None, tmp_path: Path) -> None:
    output = {"format": format, "order": "shuffled", "columns": ["time"]}
    first = outputs(run(tmp_path, "one", answers(300), output=output))
    for name, options in {"small": {"chunk_bytes": 700}, "threads": {"threads": 3}}.items():
        assert outputs(run(tmp_path, name, [], output=output, **options)) == first


def test_a_stopped_job_goes_on_to_the_same_bytes(declared: None, tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", answers(400))
    config = jobs.plan(source, **settings(data={"inputs": [str(source)]}))
    whole = outputs(jobs.run(config, tmp_path / "whole"))
    for chunks in (1, 3, 5):
        with pytest.raises(Interrupted):
            jobs.run(config, tmp_path / f"stopped-{chunks}", **jobs.stop_after(chunks))
        assert outputs(jobs.run(config, tmp_path / f"stopped-{chunks}")) == whole


@pytest.mark.parametrize("limit", [1, 57, 199])
def test_a_limit_counts_rows_of_the_source(limit: int, declared: None, tmp_path: Path) -> None:
    rows = answers(200)
    result = run(tmp_path, "out", rows, limit=limit)
    parts = [len(expected_parts(row)) or 1 for row in rows[:limit]]
    assert (result.manifest["rows"], result.manifest["parts"]) == (limit, sum(parts))


def test_rows_of_a_table_have_parts(declared: None, tmp_path: Path) -> None:
    rows = answers(200)
    columns = ("instruction", "output")
    table = pa.Table.from_pylist([{column: row.get(column) for column in columns} for row in rows])
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=64)
    lines = run(tmp_path, "lines", [row if "output" in row else row | {"output": None} for row in rows])
    sections = settings(data={"inputs": [str(tmp_path / "rows.parquet")]})
    tables = jobs.run(jobs.plan(tmp_path / "rows.parquet", **sections), tmp_path / "tables")
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "tables" / name).read_bytes() == (tmp_path / "lines" / name).read_bytes()
    assert tables.manifest["counts"] == lines.manifest["counts"]
    rejected = (tmp_path / "tables" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in rejected] == [
        entry["row"] for entry in ledger_of(tmp_path / "tables") if entry["fate"] == "rejected"
    ]


def test_a_strict_job_names_the_row_and_its_part_is_in_the_line(declared: None, tmp_path: Path) -> None:
    rows = [{"instruction": "a", "output": "x y|z"}, {"instruction": "b", "output": "fine|!"}]
    with pytest.raises(StrictError, match="line 2 is rejected: too_short"):
        run(tmp_path, "out", rows, strict=True)


def test_without_expansions_no_ledger_has_parts(tmp_path: Path) -> None:
    result = run(tmp_path, "out", answers(40))
    assert "part" not in pq.read_schema(tmp_path / "out" / "ledger.parquet").names
    assert "parts" not in result.manifest


def records_of(texts: Sequence[str | None]) -> Records:
    """Records of one column; None is a rejected one."""
    column = plain_spans([None if text is None else text.encode() for text in texts])
    reason = np.array([Reason.INVALID_JSON if text is None else 0 for text in texts], np.uint8)
    zero = np.zeros(len(texts), np.int64)
    return Records(np.zeros(0, np.uint8), zero, zero.copy(), reason, {"output": column})


@given(st.lists(st.none() | st.text("ab|/!", max_size=8), max_size=12))
def test_two_expansions_compose(texts: list[str | None]) -> None:
    engine = CpuEngine()
    records, parts = expand([PIECES, HALVES], Config(), engine, records_of(texts))
    expected: list[tuple[int, int, str]] = []
    for row, text in enumerate(texts):
        pieces = [piece for piece in (text or "").split("|") if piece]
        made: list[str] = []
        for piece in pieces:
            made += [piece] if piece == "!" else [half for half in piece.split("/") if half]
        nothing = -1 if text is None else -3 if pieces else -2
        expected += [(row, number, half) for number, half in enumerate(made)] or [(row, nothing, "")]
    text_of = engine.text(records.columns["output"])
    places = zip(parts.source.tolist(), parts.number.tolist(), strict=True)
    have = [
        (source, number, "!" if records.reason[row] == Reason.TOO_SHORT else text_of.row(row).decode())
        for row, (source, number) in enumerate(places)
    ]
    assert have == expected


def test_an_expansion_that_makes_parts_of_no_rows_is_a_fault() -> None:
    def wrong(config: Config, engine: Engine, records: Records) -> Expanded:
        return Expanded(np.array([1, 0]), {})

    with pytest.raises(ValidationError, match="expansion wrong"):
        expand([declaration("wrong", wrong, Fate.REJECTED)], Config(), CpuEngine(), records_of(["a", "b"]))
