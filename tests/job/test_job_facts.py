"""Facts of a row: one that is declared is computed, gathered and written to the ledger, wherever it comes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import Interrupted
from forge_gpu.job.facts import registry
from forge_gpu.job.facts.columns import Column, Columns, LedgerRows, numbers
from forge_gpu.job.facts.fact import Fact, always
from forge_gpu.job.rows.compared import ComparedText
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.state.index import ROW
from tests.job import jobs

SPARSE = np.dtype([(ROW, np.int64), ("priority", np.int64)])


def query_bytes(workspace: Workspace, rows: Rows) -> np.ndarray:
    good = np.flatnonzero(rows.reason == 0)
    sizes = np.zeros(len(rows), np.int64)
    sizes[good] = np.diff(ComparedText(["query"], "a test").of(rows, good).offsets)
    return sizes


def priorities(workspace: Workspace, rows: Rows) -> np.ndarray:
    """Of the rows that have one, in a column of the input that nothing else reads."""
    text = workspace.engine.text(rows.records.columns["priority"])
    row = np.flatnonzero(np.diff(text.offsets))
    return np.array([(number, int(text.row(number))) for number in row.tolist()], SPARSE)


def fill_priority(rows: LedgerRows) -> list[pa.Array]:
    values, absent = np.zeros(len(rows), np.int64), np.ones(len(rows), np.bool_)
    hits = rows.fact("priority")
    values[hits[ROW]], absent[hits[ROW]] = hits["priority"], False
    return [numbers(values, absent)]


QUERY_BYTES = Fact(
    "query_bytes",
    np.dtype(np.int64),
    query_bytes,
    columns=Columns(
        (Column("query_bytes", pa.int64(), "the size of the query"),),
        always,
        lambda rows: [numbers(rows.fact("query_bytes"))],
    ),
)
PRIORITY = Fact(
    "priority",
    SPARSE,
    priorities,
    inputs=lambda config: ["priority"],
    columns=Columns((Column("priority", pa.int64(), "as the input says"),), always, fill_priority),
)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DECLARED", (*registry.DECLARED, QUERY_BYTES, PRIORITY))


@pytest.mark.parametrize("limit", [None, 130])
def test_a_new_fact_is_in_the_ledger_of_a_job_that_was_stopped(
    limit: int | None, declared: None, tmp_path: Path
) -> None:
    rows = jobs.rows(300)
    for number, row in enumerate(rows):
        row |= {"priority": number} if number % 7 == 3 else {}
    rows[40] = {"instruction": "no answer", "priority": 40}
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    config = jobs.plan(source)
    for chunks in (2, 5):
        with pytest.raises(Interrupted):
            jobs.run(config, tmp_path / "out", limit=limit, **jobs.stop_after(chunks))
    jobs.run(config, tmp_path / "out", 2, limit=limit, memory=2000)  # so little that arrays are mapped
    ledger = pq.read_table(tmp_path / "out/ledger.parquet")
    rows = rows[:limit]
    assert ledger.column_names[-2:] == ["query_bytes", "priority"]
    assert ledger["query_bytes"].to_pylist() == [size(row) for row in rows]
    assert ledger["priority"].to_pylist() == [row.get("priority") for row in rows]


def size(row: dict[str, object]) -> int:
    if "output" not in row:
        return 0
    return len("\n".join(str(row[key]) for key in ("instruction", "input") if row[key]).encode())


def test_without_it_the_ledger_is_as_before(tmp_path: Path) -> None:
    config = jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(50)))
    jobs.run(config, tmp_path / "out")
    names = pq.read_schema(tmp_path / "out/ledger.parquet").names
    assert names == [
        column.name for columns in registry.required_columns(config) for column in columns.of(config)
    ]
    assert (
        "similarity" not in names and json.loads((tmp_path / "out/manifest.json").read_text())["rows"] == 50
    )
