"""The example of Lightning: the same batches, wherever it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import forge_gpu
from tests.trainers import environment
from tests.trainers.environment import ROOT, SCRIPTS, run

require = pytest.fixture(autouse=True)(environment.require)


def test_it_goes_on_with_the_same_batches_around_the_end_of_an_epoch(tmp_path: Path) -> None:
    settings = ["output.form=tokens", f"tokens.tokenizer={ROOT / 'examples' / 'tokenizer.json'}"]
    plan = forge_gpu.plan("", data=[ROOT / "examples/chat.jsonl"], template="chatml", settings=settings)
    forge_gpu.prepare(plan.config, output=tmp_path / "out")
    seen = json.loads(
        run(tmp_path, str(SCRIPTS / "resume_lightning.py"), str(tmp_path), str(tmp_path / "out"))
    )
    dataset, expected = forge_gpu.open(tmp_path / "out").reader("train", 0, 1, 42, 1024), []
    for epoch in range(3):
        dataset.set_epoch(epoch)
        expected += [batch.input_ids.tolist() for batch in dataset]
    assert seen["whole"] == expected
    assert len(seen["seen"]) == 3 and all(seen["seen"].values()), seen["seen"]
