"""A prepared folder in the loaders of PyTorch and torchdata, which run in an environment of their own."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

import forge_gpu
from tests.trainers import environment
from tests.trainers.environment import ROOT, SCRIPTS, run

require = pytest.fixture(autouse=True)(environment.require)


def test_loaders_give_one_order_and_go_on(tmp_path: Path) -> None:
    settings = ["output.form=tokens", f"tokens.tokenizer={ROOT / 'examples' / 'tokenizer.json'}"]
    plan = forge_gpu.plan("", data=[ROOT / "examples/chat.jsonl"], template="chatml", settings=settings)
    forge_gpu.prepare(plan.config, output=tmp_path / "out")
    seen = json.loads(run(tmp_path, str(SCRIPTS / "stream_torch.py"), str(tmp_path / "out")))
    whole = [
        batch.input_ids.tolist() for batch in forge_gpu.open(tmp_path / "out").reader("train", 0, 1, 7, 1024)
    ]
    assert seen["whole"] == whole and len(whole) > 8
    for loaders in (seen["shares"], seen["cuts"]):
        for name, batches in loaders.items():
            rank, world, _ = map(int, name.split())
            assert batches == whole[rank::world], name
    zero, one = seen["epochs"]
    assert zero == whole and one != whole and sorted(chain(*one)) == sorted(chain(*whole))
    assert seen["types"] == {
        "input_ids": "torch.int64",
        "labels": "torch.int64",
        "position_ids": "torch.int64",
        "seq_lengths": "torch.int32",
    }


def test_the_example(tmp_path: Path) -> None:
    line = run(tmp_path, str(ROOT / "examples" / "train_torch.py"))
    assert line.startswith("6 steps, then 3 from the middle on, loss ")
