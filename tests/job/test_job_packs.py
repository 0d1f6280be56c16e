"""Rows of tokens that are packed: whole, in the packs that the reference makes, and the same bytes always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from forge_gpu.audit.folder import verify_folder
from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config
from forge_gpu.errors import Interrupted
from forge_gpu.kernels.reference.packing import best_fit
from tests.job import jobs
from tests.job.test_job_tokens import plan, talks
from tests.tokens.made import document

MOST = 200
SPLITS = ("train", "validation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", talks(300))


def packed(source: Path, folder: Path, **output: Any) -> Config:
    return plan(source, folder, output={"form": "tokens", "pack_length": MOST, **output})


def rows_of(source: Path, folder: Path, output: Path, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of each split as they are without packing."""
    jobs.run(plan(source, folder, output={"form": "tokens", **settings}), output)
    return {split: jobs.read_lines(output / f"{split}.jsonl") for split in SPLITS}


@pytest.mark.parametrize("order", ["input", "shuffled"])
def test_packs_are_those_of_the_reference(order: str, source: Path, folder: Path, tmp_path: Path) -> None:
    rows = rows_of(source, folder, tmp_path / "rows", order=order)
    result = jobs.run(packed(source, folder, order=order, packing="bfd"), tmp_path / "packs")
    for split in SPLITS:
        lengths = np.array([len(row["input_ids"]) for row in rows[split]], np.uint32)
        places, counts = best_fit(lengths, MOST)
        expected: list[list[dict[str, Any]]] = [[{}] * int(count) for count in counts]
        for row, (pack, place) in zip(rows[split], places.tolist(), strict=True):
            expected[pack][place] = row
        made = jobs.read_lines(tmp_path / "packs" / f"{split}.jsonl")
        assert made == [
            {
                "input_ids": [value for row in pack for value in row["input_ids"]],
                "labels": [value for row in pack for value in row["labels"]],
                "seq_lengths": [len(row["input_ids"]) for row in pack],
            }
            for pack in expected
        ]
        assert len(made) < len(lengths) / 2
        sums = result.manifest["packs"]["splits"][split]
        assert sums == {"packs": len(made), "rows": len(lengths), "tokens": int(lengths.sum())}
    assert not verify_folder(tmp_path / "packs").faults


def test_wrapped_packs_are_one_text_that_is_cut(source: Path, folder: Path, tmp_path: Path) -> None:
    rows = rows_of(source, folder, tmp_path / "rows")
    jobs.run(packed(source, folder, packing="wrapped"), tmp_path / "packs")
    for split in SPLITS:
        made = jobs.read_lines(tmp_path / "packs" / f"{split}.jsonl")
        for name in ("input_ids", "labels"):
            whole = [value for row in rows[split] for value in row[name]]
            assert [pack[name] for pack in made] == [
                whole[at : at + MOST] for at in range(0, len(whole), MOST)
            ]
        assert made[0].keys() == {"input_ids", "labels"}
    assert not verify_folder(tmp_path / "packs").faults


@pytest.mark.parametrize("packing", ["bfd", "wrapped"])
def test_the_ledger_says_where_each_row_is(packing: str, source: Path, folder: Path, tmp_path: Path) -> None:
    jobs.run(packed(source, folder, packing=packing, rows_per_shard=7), tmp_path / "packs")
    rows = rows_of(source, folder, tmp_path / "rows")
    before = {split: iter(lines) for split, lines in rows.items()}
    for entry in pq.read_table(tmp_path / "packs" / "ledger.parquet").to_pylist():
        if entry["fate"] not in SPLITS:
            assert entry["place"] is None
            continue
        row = next(before[entry["fate"]])["input_ids"]
        pack = jobs.read_lines(tmp_path / "packs" / entry["shard"])[entry["line"] - 1]
        begin = entry["place"] if packing == "wrapped" else sum(pack["seq_lengths"][: entry["place"]])
        here = row[: MOST - begin]  # a wrapped row goes on in the next pack
        assert pack["input_ids"][begin : begin + len(here)] == here


@pytest.mark.parametrize(
    "settings",
    [
        {"packing": "bfd"},
        {"packing": "bfd", "order": "shuffled", "rows_per_shard": 11},
        {"packing": "wrapped"},
        {"packing": "bfd", "format": "parquet"},
        {"packing": "wrapped", "format": "parquet", "rows_per_shard": 11},
    ],
)
def test_a_stopped_job_goes_on_to_the_same_bytes(
    settings: dict[str, Any], source: Path, folder: Path, tmp_path: Path
) -> None:
    config = packed(source, folder, **settings)
    jobs.run(config, tmp_path / "whole")
    stops = 0
    for chunks in (2, 9, 17, 30):
        output = tmp_path / f"stopped-{chunks}"
        try:
            jobs.run(config, output, **jobs.stop_after(chunks))
        except Interrupted:
            stops += 1
        jobs.run(config, output, threads=1 + chunks % 2, chunk_bytes=1000)
        assert jobs.content(output) == jobs.content(tmp_path / "whole")
    assert stops >= 3


def test_rows_that_fit_in_no_pack_are_rejected(source: Path, folder: Path, tmp_path: Path) -> None:
    rows = rows_of(source, folder, tmp_path / "rows")
    lengths = [len(row["input_ids"]) for split in SPLITS for row in rows[split]]
    most = sorted(lengths)[len(lengths) // 2]
    result = jobs.run(packed(source, folder, packing="bfd", pack_length=most), tmp_path / "packs")
    assert result.manifest["rejected"] == {"too_long": sum(length > most for length in lengths)}
    packs = [pack for split in SPLITS for pack in jobs.read_lines(tmp_path / "packs" / f"{split}.jsonl")]
    assert max(len(pack["input_ids"]) for pack in packs) <= most


def test_packs_within_files(source: Path, folder: Path, tmp_path: Path) -> None:
    other = jobs.write_lines(tmp_path / "other.jsonl", [dict(row, k=1) for row in talks(340)[300:]])
    config = packed(source, folder, packing="bfd", pack_within="file")
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"inputs": [str(source), str(other)]})}
    )
    jobs.run(config, tmp_path / "packs")
    files: dict[tuple[str, int], set[str]] = {}
    for entry in pq.read_table(tmp_path / "packs" / "ledger.parquet").to_pylist():
        if entry["fate"] in SPLITS:
            files.setdefault((entry["shard"], entry["line"]), set()).add(entry["file"])
    assert all(len(names) == 1 for names in files.values())
    assert len(set().union(*files.values())) == 2


def test_packs_within_lengths(source: Path, folder: Path, tmp_path: Path) -> None:
    jobs.run(packed(source, folder, packing="bfd", pack_within="length"), tmp_path / "packs")
    packs = [pack["seq_lengths"] for pack in jobs.read_lines(tmp_path / "packs" / "train.jsonl")]
    assert all(max(pack) < 2 * min(pack) for pack in packs) and max(map(len, packs)) > 1


@pytest.mark.parametrize(
    "padding",
    [
        {"packing": "bfd", "pad_rows_to": 16},
        {"packing": "bfd", "pad_to": MOST},
        {"packing": "bfd", "pad_rows_to": 8, "pad_to": 64, "rows_per_shard": 9},
        {"packing": "wrapped", "pad_to": MOST},
    ],
)
def test_padding_is_neither_trained_nor_missed(
    padding: dict[str, Any], source: Path, folder: Path, tmp_path: Path
) -> None:
    config = packed(source, folder, pad_id=7, **padding)
    result = jobs.run(config, tmp_path / "packs")
    rows = rows_of(source, folder, tmp_path / "rows")
    rows_to, packs_to = padding.get("pad_rows_to", 1), padding.get("pad_to", 1)
    for split in SPLITS:
        packs, behind = list(result.splits[split]), 0
        for pack in packs:
            assert len(pack["input_ids"]) % packs_to == 0 and len(pack["labels"]) == len(pack["input_ids"])
            assert sum(pack.get("seq_lengths", pack["input_ids"][:0])) in (0, len(pack["input_ids"]))
            behind += len(pack["input_ids"])
        sums = result.manifest["packs"]["splits"][split]
        assert sums["padding"] == behind - sums["tokens"] > 0
        whole = [value for row in rows[split] for value in row["labels"] if value != -100]
        assert sorted(v for pack in packs for v in pack["labels"] if v != -100) == sorted(whole)
        if padding["packing"] == "bfd":
            padded = _padded_rows(packs)
            for row in rows[split]:
                assert row["input_ids"] + [7] * (-len(row["input_ids"]) % rows_to) in padded
    assert not verify_folder(tmp_path / "packs").faults
    jobs.run(config, tmp_path / "again", threads=2, chunk_bytes=1000)
    assert jobs.content(tmp_path / "again") == jobs.content(tmp_path / "packs")


def _padded_rows(packs: list[dict[str, Any]]) -> list[list[int]]:
    """The rows of packs, with their padding."""
    rows = []
    for pack in packs:
        begin = 0
        for length in pack["seq_lengths"]:
            rows.append(pack["input_ids"][begin : begin + length])
            begin += length
    return rows


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"form": "text", "packing": "bfd", "pack_length": 9}, "needs output.form tokens"),
        ({"form": "tokens", "packing": "bfd"}, "set output.pack_length"),
        ({"form": "tokens", "packing": "bfd", "pack_length": 9, "columns": ["n"]}, "leave it empty"),
        ({"form": "tokens", "packing": "bfd", "pack_length": 9, "pad_to": 8}, "set output.pad_id"),
        ({"form": "tokens", "pad_to": 8, "pad_id": 0}, "padding is of packs"),
        (
            {"form": "tokens", "packing": "wrapped", "pack_length": 9, "pad_rows_to": 8, "pad_id": 0},
            "pads the rows of packs bfd",
        ),
        (
            {"form": "tokens", "packing": "bfd", "pack_length": 9, "pad_rows_to": 16, "pad_id": 0},
            "set a greater length",
        ),
        ({"form": "tokens", "packing": "bfd", "pack_length": 9, "for": ["axolotl"]}, "train across them"),
    ],
)
def test_packs_that_do_not_fit_the_plan(output: dict[str, Any], said: str) -> None:
    faults = [fault for _, fault in broken(jobs.plan("rows.jsonl", output=output), ())]
    assert any(said in fault for fault in faults), faults
