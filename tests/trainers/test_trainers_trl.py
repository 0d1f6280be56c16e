"""Rows of tokens in TRL's own trainer, which runs in an environment of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import forge_gpu

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs" / "trainers" / "bin" / "python"
MISSING = "run `make trainers` first"


@pytest.fixture(autouse=True)
def trainers() -> None:
    if not PYTHON.exists():
        assert "FORGE_REQUIRE_TRAINERS" not in os.environ, MISSING
        pytest.skip(MISSING)


def run(folder: Path, *command: str) -> str:
    quiet = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [str(PYTHON), *command], cwd=folder, capture_output=True, text=True, env={**os.environ, **quiet}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


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
