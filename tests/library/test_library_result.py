"""The readers of a result."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.errors import ForgeError, ValidationError
from forge_gpu.job.output.result import Result
from tests.job import jobs

COLUMNS = ["n", "x", "flag", "word", "mixed", "nested", "lacking"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    records = [
        {
            "instruction": f"q{i} \u2028é",
            "output": f"answer {i}",
            "n": i,
            "x": i + 0.5,
            "flag": i % 2 == 0,
            "word": f'"{i}"',
            "mixed": i if i % 2 else str(i),
            "nested": {"a": [i]},
        }
        for i in range(40)
    ]
    return jobs.write_lines(tmp_path / "rows.jsonl", records)


@pytest.fixture(params=["jsonl", "parquet"])
def result(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Result:
    output = {"format": request.param, "columns": COLUMNS, "rows_per_shard": 15}
    return forge_gpu.prepare(jobs.plan(source, output=output), output=tmp_path / "out")


def test_columns_have_the_types_of_their_values(result: Result) -> None:
    table = result.splits["train"].to_arrow()
    kinds = {field.name: str(field.type) for field in table.schema}
    text = "large_string"
    assert kinds == {
        "text": text,
        "n": "int64",
        "x": "double",
        "flag": "bool",
        "word": text,
        "mixed": text,
        "nested": text,
        "lacking": text,
    }
    assert len(table) == result.splits["train"].rows == result.counts["train"] == 36
    for row in table.to_pylist():
        n = row["n"]
        assert row["x"] == n + 0.5 and row["flag"] == (n % 2 == 0) and row["word"] == f'"{n}"'
        assert json.loads(row["mixed"]) == (n if n % 2 else str(n))
        assert json.loads(row["nested"]) == {"a": [n]} and row["lacking"] is None


@pytest.mark.parametrize("batch_rows", [1, 4, 1000])
def test_batches_are_bounded_and_whole(batch_rows: int, result: Result) -> None:
    split = result.splits["train"]
    assert len(split.paths) == 3
    batches = list(split.iter_batches(batch_rows))
    assert max(map(len, batches)) <= batch_rows
    assert pa.Table.from_batches(batches).equals(split.to_arrow())


def test_batches_are_lazy_and_of_one_row_at_least(result: Result) -> None:
    split = result.splits["train"]
    batches = split.iter_batches()
    for path in split.paths:
        assert isinstance(path, Path)
        path.unlink()
    with pytest.raises(FileNotFoundError):
        next(batches)
    for wrong in (0, -3):
        with pytest.raises(ForgeError, match=f"batch_rows is {wrong}"):
            split.iter_batches(wrong)


def test_to_pandas_keeps_types_and_copies_no_text(result: Result) -> None:
    frame = result.splits["validation"].to_pandas()
    assert isinstance(frame, pd.DataFrame) and frame.shape == (4, 8)
    assert str(frame["n"].dtype) == "int64[pyarrow]" and str(frame["text"].dtype) == "large_string[pyarrow]"
    assert frame["lacking"].isna().all()


def test_paths_and_ledger(result: Result) -> None:
    ledger = pq.read_table(result.ledger_path)
    assert len(ledger) == 40
    assert isinstance(result.rejected_path, Path) and result.rejected_path.read_bytes() == b""
    assert set(result.splits) == {"train", "validation"}


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_the_form_source_reads_as_records(format: str, source: Path, tmp_path: Path) -> None:
    output = {"form": "source", "format": format}
    result = forge_gpu.prepare(jobs.plan(source, output=output), output=tmp_path / "out")
    split = result.splits["train"]
    records = [json.loads(text) for text in split.to_arrow()["record"].to_pylist()]
    assert len(records) == split.rows
    known = {json.dumps(record) for record in jobs.read_lines(source)}
    assert {json.dumps(record) for record in records} < known


def test_to_hf_without_datasets_says_how_to_get_it(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ForgeError, match=r"^to_hf needs the package datasets: pip install datasets$"):
        result.splits["train"].to_hf()


def test_to_hf_with_a_broken_datasets_says_what_is_wrong(
    result: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/datasets.py").write_text("import a_package_that_is_not_there")
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ForgeError, match=r"it is installed, but fails: .*a_package_that_is_not_there"):
        result.splits["train"].to_hf()


def test_to_hf_hands_the_whole_table_on(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = types.ModuleType("datasets")
    datasets.Dataset = lambda table: ("dataset", table)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    kind, table = result.splits["train"].to_hf()
    assert kind == "dataset" and table.equals(result.splits["train"].to_arrow())


def test_to_hf_with_datasets_installed(result: Result) -> None:
    pytest.importorskip("datasets")
    split = result.splits["train"]
    matches = split.to_hf()
    assert len(matches) == split.rows and matches[0] == split.to_arrow().slice(0, 1).to_pylist()[0]


def test_an_output_that_was_damaged_afterwards_is_named(source: Path, tmp_path: Path) -> None:
    result = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out")
    path = result.splits["train"].paths[0]
    assert isinstance(path, Path)
    path.write_bytes(path.read_bytes()[:-20] + b"\n")
    with pytest.raises(ValidationError, match=r"train\.jsonl: holds a line that is not a JSON record"):
        result.splits["train"].to_arrow()


def test_a_split_is_a_sequence_of_rows(result: Result) -> None:
    split = result.splits["train"]
    rows = split.to_arrow().to_pylist()
    assert len(split) == len(rows) == 36 and list(split) == rows
    for number in (0, 14, 15, 35, -1, -36):
        assert split[number] == rows[number]
    for part in (slice(3), slice(10, 20), slice(None, None, -7), slice(-4, None), slice(9, 9), slice(90, 99)):
        assert split[part].to_pylist() == rows[part]
        assert split[part].schema == split.to_arrow().schema
    for number in (36, -37):
        with pytest.raises(IndexError, match=f"train has 36 rows, and none with the number {number}"):
            split[number]


def test_a_split_shows_its_first_rows_and_streams(result: Result) -> None:
    split = result.splits["train"]
    pd.testing.assert_frame_equal(split.head(3), split.to_pandas().iloc[:3])
    assert len(split.head()) == 5 and len(split.head(99)) == 36 and len(split.head(-1)) == 0
    assert pa.table(split).equals(split.to_arrow())
    assert repr(split).startswith("<Split train: 36 rows of text: string, n: int64, ")
    assert repr(split).endswith(" in 3 files>")
    assert forge_gpu.open_engine("cpu").deduplicate(split, "word").equals(split.to_arrow())
