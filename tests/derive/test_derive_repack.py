"""Other packs of a prepared folder are those of a preparation from scratch: every file, byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forge_gpu.audit.folder import verify_folder
from forge_gpu.derive.repack import repack
from forge_gpu.errors import ForgeError
from tests.job import jobs
from tests.loading.made import tokens

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"packing": "bfd", "pack_length": 200}),
    ({"order": "shuffled", "rows_per_shard": 40}, {"packing": "bfd", "pack_length": 170}),
    ({"order": "shuffled"}, {"packing": "wrapped", "pack_length": 64}),
    ({"packing": "bfd", "pack_length": 200}, {"packing": "bfd", "pack_length": 512}),
    ({"packing": "bfd", "pack_length": 200, "rows_per_shard": 7}, {"packing": "none", "pack_length": 200}),
    ({"packing": "wrapped", "pack_length": 64, "format": "parquet"}, {"packing": "bfd", "pack_length": 300}),
    (
        {"packing": "bfd", "pack_length": 200, "pad_rows_to": 8, "pad_to": 50, "pad_id": 7},
        {"packing": "bfd", "pack_length": 300},
    ),
    ({"for": ["axolotl"]}, {"packing": "wrapped", "pack_length": 100}),
]


@pytest.mark.parametrize(("before", "after"), CASES)
def test_it_is_a_preparation_with_that_plan(
    before: dict[str, Any], after: dict[str, Any], tmp_path: Path
) -> None:
    folder = tokens(tmp_path, 120, **before)
    made = repack(folder, tmp_path / "packs", length=after["pack_length"], packing=after["packing"])
    folder.rename(tmp_path / "before")
    assert made.result.manifest["run"]["repacked"]["folder"] == str(folder) and not made.warnings
    assert jobs.content(tmp_path / "packs") == jobs.content(tokens(tmp_path, 120, **before | after))
    assert not verify_folder(tmp_path / "packs").faults


def test_what_packs_cannot_be_is_told(tmp_path: Path) -> None:
    folder = tokens(tmp_path, 60)
    faults: list[tuple[dict[str, Any], str]] = [
        ({"length": 20}, "rows have more than 20 tokens, the longest"),
        ({}, "a pack needs a length"),
        ({"length": 9, "packing": "ffd"}, "these packs cannot be"),
        ({"length": 0}, "a pack needs a length"),
    ]
    for settings, fault in faults:
        with pytest.raises(ForgeError, match=fault):
            repack(folder, tmp_path / "packs", **settings)
    with pytest.raises(ForgeError, match="holds a prepared folder already"):
        repack(folder, folder, length=300)
    tokens(tmp_path / "other", 60, packing="bfd", pack_length=300, order="shuffled")
    with pytest.raises(ForgeError, match="made of shuffled rows"):
        repack(tmp_path / "other" / "out", tmp_path / "packs", length=400)


def test_labels_that_a_format_does_not_hold_are_told(tmp_path: Path) -> None:
    bridge: dict[str, Any] = {"format": "megatron_bridge", "pack_length": 200}
    folder = tokens(tmp_path / "rows", 60, packing="bfd", **bridge)
    assert not repack(folder, tmp_path / "longer", length=300).warnings
    (warning,) = repack(folder, tmp_path / "wrapped", packing="wrapped").warnings
    assert warning.startswith("megatron_bridge does not say whether the first token of a row is trained")
    (warning,) = repack(tmp_path / "wrapped", tmp_path / "whole", packing="bfd").warnings
    assert "the first token of a pack is trained" in warning


def test_rows_that_were_too_long_are_told(tmp_path: Path) -> None:
    folder = tokens(tmp_path, 120, packing="bfd", pack_length=60)
    (warning,) = repack(folder, tmp_path / "packs", length=200).warnings
    assert "rows were rejected as too long for packs of 60 tokens" in warning


def test_what_a_killed_run_left_is_written_anew(tmp_path: Path) -> None:
    folder = tokens(tmp_path, 60)
    whole = repack(folder, tmp_path / "whole", length=200)
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "train.jsonl.partial").write_text("half of a li")
    assert repack(folder, tmp_path / "packs", length=200).result.counts == whole.result.counts
    assert jobs.content(tmp_path / "packs") == jobs.content(tmp_path / "whole")
