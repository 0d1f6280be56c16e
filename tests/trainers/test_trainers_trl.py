"""Rows of tokens in TRL's own trainer, which runs in an environment of its own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forge_gpu
from forge_gpu.packs.places import PACKERS
from tests.trainers import environment
from tests.trainers.environment import ROOT, run

require = pytest.fixture(autouse=True)(environment.require)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_ids_and_labels_come_as_they_are_stored(kind: str, tmp_path: Path) -> None:
    tokenizer = ROOT / "examples" / "tokenizer.json"
    settings = ["output.form=tokens", f"output.format={kind}", f"tokens.tokenizer={tokenizer}"]
    plan = forge_gpu.plan("", data=[ROOT / "examples/chat.jsonl"], template="chatml", settings=settings)
    train = forge_gpu.prepare(plan.config, output=tmp_path / "out").splits["train"]
    script = ROOT / "tests" / "trainers" / "load_trl.py"
    seen = json.loads(run(tmp_path, str(script), str(tmp_path), str(tokenizer), *map(str, train.paths)))
    rows: list[dict[str, Any]] = list(train)
    assert len(rows) > 40
    for name in ("input_ids", "labels"):
        stored = [value for row in rows for value in row[name]]
        assert len(stored) == len(seen[name])
        assert [a for a, b in zip(stored, seen[name], strict=True) if a != b and b != -100] == []
    # Without padding the trainer takes the first label of each row away: no text stands before it.
    assert sum(value >= 0 for value in seen["labels"]) == sum(
        value >= 0 for row in rows for value in row["labels"]
    )
    assert seen["steps"] == 2 and math.isfinite(seen["loss"])


def test_the_example(tmp_path: Path) -> None:
    assert run(tmp_path, str(ROOT / "examples" / "train_trl.py")).startswith("51 rows, 2 steps, loss ")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_of_a_pack_stay_apart(kind: str, tmp_path: Path) -> None:
    tokenizer = ROOT / "examples" / "tokenizer.json"
    settings = ["output.form=tokens", f"output.format={kind}", f"tokens.tokenizer={tokenizer}"]
    settings += ["output.packing=bfd", "output.pack_length=1024"]
    plan = forge_gpu.plan("", data=[ROOT / "examples/chat.jsonl"], template="chatml", settings=settings)
    train = forge_gpu.prepare(plan.config, output=tmp_path / "out").splits["train"]
    script = ROOT / "tests" / "trainers" / "load_trl.py"
    seen = json.loads(run(tmp_path, str(script), str(tmp_path), str(tokenizer), *map(str, train.paths)))
    packs: list[dict[str, Any]] = list(train)
    lengths = [length for pack in packs for length in pack["seq_lengths"]]
    assert len(lengths) > 40 and len(packs) < len(lengths)
    assert seen["input_ids"] == [value for pack in packs for value in pack["input_ids"]]
    assert seen["position_ids"] == [place for length in lengths for place in range(length)]
    stored = [value for pack in packs for value in pack["labels"]]
    assert [a for a, b in zip(stored, seen["labels"], strict=True) if a != b and b != -100] == []
    assert seen["steps"] == 2 and math.isfinite(seen["loss"])


def test_packs_are_trls(tmp_path: Path) -> None:
    cases = [
        (np.random.default_rng(most).integers(1, longest + 1, 700).astype(np.uint32), most, strategy)
        for most, longest in ((1, 1), (64, 64), (1000, 700), (2048, 90), (8192, 8192))
        for strategy in PACKERS
    ]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps([(lengths.tolist(), most, strategy) for lengths, most, strategy in cases]))
    script = ROOT / "tests" / "trainers" / "pack_trl.py"
    for (lengths, most, strategy), theirs in zip(
        cases, json.loads(run(tmp_path, str(script), str(file))), strict=True
    ):
        made = PACKERS[strategy](lengths, most, None)
        packs: list[list[int]] = [[] for _ in range(made.count)]
        for row in np.argsort(made.ranks).tolist():
            packs[made.places[row, 0]].append(row)
        assert packs == _begun(theirs)


def _begun(packs: list[list[int]]) -> list[list[int]]:
    """The rows that begin in each pack: one may go on from the pack before."""
    return [
        [row for row in pack if before is None or row not in before]
        for before, pack in zip([None, *packs], packs, strict=False)
    ]
