"""What a rejected row costs on the disk: a long one no more than its head and tail."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.job.output import rejected
from tests.job import jobs

LONG = b"ab" * 2_000_000


@pytest.mark.parametrize("most", [2**16, 64 * 2**20])
@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_a_long_row_is_told_by_its_edges(tmp_path: Path, kind: str, most: int) -> None:
    """Whether it is too long, or rejected for what it holds."""
    row = b'{"instruction": null, "output": "' + LONG + b'"}'
    source = tmp_path / f"rows.{kind}"
    source.write_bytes(row + b"\r\n" if kind == "jsonl" else b"[\n" + row + b" \n]")
    data = {"max_row_bytes": most}
    jobs.run(jobs.plan(source, data=data), tmp_path / "out")
    (entry,) = jobs.read_lines(tmp_path / "out/rejected.jsonl")
    assert (entry["source_head"], entry["source_tail"]) == (row[:4096].decode(), row[-4096:].decode())
    assert entry["source_bytes"] == len(row)
    assert entry["source_sha256"] == hashlib.sha256(row).hexdigest()
    assert entry["reason"] == ("row_too_long" if most < len(row) else "null_field")
    assert (tmp_path / "out/rejected.jsonl").stat().st_size < 10_000


def test_a_row_that_is_too_long_but_short_is_whole(tmp_path: Path) -> None:
    row = json.dumps({"instruction": "x" * 5000, "output": "y"}).encode()
    (tmp_path / "rows.jsonl").write_bytes(row + b"\n")
    pq.write_table(pa.table({"instruction": ["x" * 5000], "output": ["y"]}), tmp_path / "rows.parquet")
    for kind in ("jsonl", "parquet"):
        plan = jobs.plan(tmp_path / f"rows.{kind}", data={"max_row_bytes": 1000})
        jobs.run(plan, tmp_path / kind)
        (entry,) = jobs.read_lines(tmp_path / kind / "rejected.jsonl")
        assert orjson.loads(entry["source"]) == orjson.loads(row)


def test_control_characters_take_no_six_times_their_room(tmp_path: Path) -> None:
    (reported,) = [rejected._source_fields(iter([b"\x01" * 100_000]))]
    assert set(reported) == {"source_base64"} and len(orjson.dumps(reported)) < 140_000
