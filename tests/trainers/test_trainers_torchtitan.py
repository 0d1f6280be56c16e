"""The example of torchtitan's loader: batches as the trainer takes them, and a state for any ranks."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

import forge_gpu
from tests.trainers import environment
from tests.trainers.environment import ROOT, SCRIPTS, run

require = pytest.fixture(autouse=True)(environment.require)


def test_batches_are_the_packs_and_go_on_for_other_ranks(tmp_path: Path) -> None:
    settings = ["output.form=tokens", f"tokens.tokenizer={ROOT / 'examples' / 'tokenizer.json'}"]
    settings += [f"output.{key}" for key in ("packing=bfd", "pack_length=1024", "pad_to=1024", "pad_id=654")]
    plan = forge_gpu.plan("", data=[ROOT / "examples/chat.jsonl"], template="chatml", settings=settings)
    train = forge_gpu.prepare(plan.config, output=tmp_path / "out").splits["train"]
    seen = json.loads(run(tmp_path, str(SCRIPTS / "batches_torchtitan.py"), str(tmp_path / "out")))
    packs = {tuple(pack["input_ids"]): pack for pack in train}
    assert len(packs) > 4 and {tuple(batch["input"]) for batch in seen["whole"]} == packs.keys()
    for batch in seen["whole"]:
        pack = packs[tuple(batch["input"])]
        lengths = pack["seq_lengths"]
        assert sum(lengths) == 1024
        assert batch["positions"] == list(chain.from_iterable(map(range, lengths)))
        ends = {sum(lengths[: row + 1]) - 1 for row in range(len(lengths))}
        following = [*pack["labels"][1:], -100]
        assert batch["labels"] == [-100 if place in ends else label for place, label in enumerate(following)]
    assert seen["before"] == seen["whole"][:3]
    assert [one for step in zip(*seen["after"], strict=True) for one in step] == seen["whole"][3:7]
