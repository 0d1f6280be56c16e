"""Parts of ranges, which the second pass writes by one task each: the same bytes whatever they are."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.errors import Interrupted
from forge_gpu.io.chunks import JsonChunk, Source
from forge_gpu.io.inputs import resolve
from forge_gpu.io.json_source import OVERLAP
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool
from forge_gpu.job import write_pass
from forge_gpu.job.state import index
from forge_gpu.job.state.index import Block, RangeFacts, RowIndex
from tests.job import jobs


def messy(folder: Path, form: str) -> Path:
    """Rows of any length, some refused, some too long; in lines also blank ones."""
    chance = random.Random(form)
    texts = []
    for row in jobs.rows(300, seed=3):
        row["output"] = row["output"] * chance.choice([1, 1, 1, 8])
        texts.append(json.dumps(row) if chance.random() < 0.9 else json.dumps({"instruction": "no answer"}))
    texts[100:100] = [json.dumps({"instruction": "long", "output": "x" * 9000})] * 2
    path = folder / f"rows.{form}"
    if form == "json":
        path.write_text("[" + ",\n".join(texts) + "]")
    else:
        path.write_text("\n".join(text + "\n" * chance.choice([0, 0, 1, 3]) for text in texts))
    return path


@pytest.mark.parametrize("form", ["jsonl", "json"])
@pytest.mark.parametrize("limit", [None, 150])
@pytest.mark.parametrize("shape", [{}, {"rows_per_shard": 60}, {"order": "shuffled"}])
def test_the_same_bytes_for_any_parts(
    form: str, limit: int | None, shape: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = jobs.plan(messy(tmp_path, form), data={"max_row_bytes": 8192}, output=shape)
    jobs.run(config, tmp_path / "whole", limit=limit, chunk_bytes=10**6, range_bytes=50_000)
    for number, part_bytes in enumerate([1, 3000, 20_000]):
        monkeypatch.setattr(index, "BLOCK_BYTES", part_bytes)
        output = tmp_path / str(number)
        jobs.run(config, output, 1 + number, chunk_bytes=1500, range_bytes=50_000, limit=limit)
        assert jobs.content(output) == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [{}, {"rows_per_shard": 60}, {"order": "shuffled"}])
def test_a_job_that_stops_between_parts_goes_on(
    threads: int, shape: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = jobs.plan(messy(tmp_path, "jsonl"), data={"max_row_bytes": 8192}, output=shape)
    jobs.run(config, tmp_path / "whole")
    monkeypatch.setattr(index, "BLOCK_BYTES", 1)
    output, stops = tmp_path / "out", 0
    for chunks in (11, 2, 3, 1, 4, 1):
        try:
            jobs.run(config, output, threads, chunk_bytes=3000, range_bytes=40_000, **jobs.stop_after(chunks))
        except Interrupted:
            stops += 1
            assert not (output / "manifest.json").exists()
    assert stops >= 4
    jobs.run(config, output, 2, chunk_bytes=900, range_bytes=40_000)
    assert jobs.content(output) == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize("form", ["jsonl", "json"])
@pytest.mark.parametrize("chunk_bytes", [150_000, 262_144, 330_000, 500_000, 10**7])
def test_a_part_that_was_a_chunk_is_one_again(form: str, chunk_bytes: int, tmp_path: Path) -> None:
    """Or what its scan found would not be found again."""
    chance = random.Random(chunk_bytes)
    texts = [json.dumps({"a": "x" * chance.choice([10, 200, 3000])}) for _ in range(2000)]
    path = tmp_path / f"rows.{form}"
    path.write_text("\n".join(texts) if form == "jsonl" else "[" + ",".join(texts) + "]")
    [file] = resolve([str(path)], tmp_path)
    source = open_source(file, spool=Spool(tmp_path / "spool"), range_bytes=700_000)
    ranges = 0
    for whole in source.ranges:
        chunks = offsets(source, whole, chunk_bytes)
        bounds = [*(offset for offset, _ in chunks), whole.end]
        for (offset, size), (begin, end) in zip(chunks, pairwise(bounds), strict=True):
            assert offsets(source, replace(whole, begin=begin, end=end), chunk_bytes) == [(offset, size)]
        ranges += 1
    assert ranges > 1 and OVERLAP < 150_000 / 2
    source.close()


def offsets(source: Source, part: Any, chunk_bytes: int) -> list[tuple[int, int]]:
    result = []
    for chunk in source.read(part, chunk_bytes):
        assert isinstance(chunk, JsonChunk)
        result.append((chunk.offset, len(chunk.data)))
    return result


def block_of(begin: int, size: int) -> RowIndex:
    """A chunk's index of a row each ten bytes."""
    rows = size // 10
    facts = RangeFacts((Block(begin, rows, rows, 1, size, 2**63),))
    return RowIndex(facts, {"hashes": np.zeros((rows, 2), np.uint64)})


def test_small_chunks_share_a_part_and_a_table_has_one_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "BLOCK_BYTES", 100)
    chunks = [block_of(begin, size) for begin, size in [(0, 60), (60, 60), (120, 100), (220, 30)]]
    assert index.join(chunks, in_blocks=True).facts.blocks == (
        Block(0, 12, 12, 2, 120, 0),
        Block(120, 10, 10, 1, 100, 2**63),
        Block(220, 3, 3, 1, 30, 2**63),
    )
    assert index.join(chunks).facts.blocks == (Block(0, 25, 25, 4, 250, 0),)
    cut = index.cut(index.join(chunks, in_blocks=True), 14)
    assert [part.rows for part in cut.facts.blocks] == [12, 2, 0]
    assert (cut.facts.rows, cut.facts.lines, cut.facts.bytes) == (14, 4, 250)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_of_each_range_is_compared_whichever_part_it_is_in(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [{"instruction": f"no answer to {number}"} for number in range(150)]
    source = jobs.write_lines(tmp_path / "rows.jsonl", (refused + jobs.rows(150)) * 3)
    compared: list[bool] = []
    check_sample = write_pass._check_sample

    def counted(*arguments: Any) -> bool:
        compared.append(check_sample(*arguments))
        return compared[-1]

    monkeypatch.setattr(write_pass, "_check_sample", counted)
    monkeypatch.setattr(index, "BLOCK_BYTES", 1)
    config = jobs.plan(source, preprocessing={"dedup": {"exact": False}}, data={"max_rejected": None})
    ranges = -(-source.stat().st_size // 40_000)
    jobs.run(config, tmp_path / "out", threads, chunk_bytes=1500, range_bytes=40_000)
    assert ranges > 2 and compared == [True] * ranges
