"""Records that name the one before them: their trees, from any format, and what has no place in one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.audit.describe import quality_sections
from forge_gpu.io.linked import Links, trees
from forge_gpu.planner.check import check_inputs

LINKS = Links("i", "p")


def made(path: Path | None, *rows: bytes) -> list[bytes]:
    return b"".join(trees(rows, LINKS, path)).splitlines()


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_record_stands_below_the_first_of_its_parents_name(tmp_path: Path, on_disk: bool) -> None:
    rows = [
        b'{"i":2,"p":1}',
        b'{ "i": 1 }',
        b'{"i":2,"p":1,"x":0}',
        b'{"i":3,"p":2}',
        b'{"i":4,"p":""}',
        b"{}",
    ]
    assert made(tmp_path / "t" if on_disk else None, *rows) == [
        b'{ "i": 1,"replies":[{"i":2,"p":1,"replies":[{"i":3,"p":2,"replies":[]}]},'
        b'{"i":2,"p":1,"x":0,"replies":[]}]}',
        b'{"i":4,"p":"","replies":[]}',
        b'{"replies":[]}',
    ]


def test_what_has_no_place_in_a_tree_stays_a_row() -> None:
    circle = [b'{"i":5,"p":6}', b'{"i":6,"p":5}', b'{"i":7,"p":7}']
    assert made(None, b"nope{", b"[1]", b'{"i":8,"p":"gone"}', *circle) == [
        b"nope{", b"[1]", b'{"i":8,"p":"gone","replies":[]}', *circle,
    ]  # fmt: skip


def test_a_tree_may_be_deeper_than_calls_can_be() -> None:
    rows = (b'{"i":%d,"p":%d}' % (number, number - 1) for number in range(1, 5000))
    [line] = made(None, b'{"i":0}', *rows)
    assert line.count(b"replies") == 5000


def message(name: str, parent: str | None, role: str, text: str, rank: int | None = None) -> dict[str, Any]:
    about = {"message_id": name, "parent_id": parent, "role": role, "text": text}
    return {**about, "rank": rank, "deleted": name == "d"}


MESSAGES = [
    message("b", "a", "assistant", "The Rhine", 1),
    message("a", None, "prompter", "Name a river?"),
    message("c", "a", "assistant", "The Elbe", 0),
    message("d", "a", "assistant", "A bad word", 2),
    message("e", "gone", "assistant", "Nobody asked"),
]


def written(folder: Path, kind: str) -> Path:
    path = folder / f"f.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(MESSAGES), path)
    elif kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, MESSAGES[0])
            writer.writeheader()
            writer.writerows(MESSAGES)
    else:
        path.write_text("".join(json.dumps(each) + "\n" for each in MESSAGES))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_flat_messages_become_the_conversations_of_their_trees(tmp_path: Path, kind: str) -> None:
    plan = forge_gpu.plan(data=written(tmp_path, kind), settings=["preprocessing.train_split=1"])
    assert plan.config.data.linked.model_dump() == {"id": "message_id", "parent": "parent_id"}
    assert not check_inputs(plan.config, lambda: plan.data.files)
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert sorted("Elbe" in line for line in lines) == [False, True]
    assert sorted("Rhine" in line for line in lines) == [False, True]
    assert result.counts["rejected"] == 1
    assert "'gone', is not in the file" in (tmp_path / "out" / "rejected.jsonl").read_text()


def test_the_best_of_each_tree(tmp_path: Path) -> None:
    settings = ["data.convert.answers=best", "preprocessing.train_split=1"]
    plan = forge_gpu.plan(data=written(tmp_path, "jsonl"), settings=settings)
    forge_gpu.prepare(plan.config, output=tmp_path / "out")
    [line] = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert "The Elbe" in line


def test_shares_are_of_the_rows_that_records_become(tmp_path: Path) -> None:
    report = forge_gpu.check(written(tmp_path, "jsonl"))
    assert (report.rows, report.parts) == (2, 3) and report.unreadable["bad_messages"].rows == 1
    records = dict(quality_sections(report))["Records"]
    assert records[0].startswith("2 rows, which become 3, read as conversation")
