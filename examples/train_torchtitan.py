"""From a frame to torchtitan: a data loader behind its own interface, for the `dataloader` of its config.

    pip install 'forge-gpu[tokens]' torchtitan

torchtitan trains on rows of one length, so the data is packed and padded to it. The loader's state is three
integers, the same on all ranks, and a run may go on with another number of them. A loop stands for training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchtitan.components.dataloader import BaseDataLoader

import forge_gpu

HERE = Path(__file__).parent
LENGTH, ROWS, STEPS = 1024, 2, 12
SETTINGS = [
    "output.form=tokens",
    "output.packing=bfd",
    f"output.pack_length={LENGTH}",
    f"output.pad_to={LENGTH}",
    "output.pad_id=654",
    f"tokens.tokenizer={HERE / 'tokenizer.json'}",
]


class PreparedDataLoader(BaseDataLoader):  # type: ignore[misc]  # of a library without types
    """Packs of a prepared folder, which `dataset_path` names, one epoch after the other."""

    @dataclass(kw_only=True, slots=True)
    class Config(BaseDataLoader.Config):  # type: ignore[misc]
        seed: int = 42

    def __init__(
        self, config: Config, *, dp_rank: int, dp_world_size: int, local_batch_size: int, **_: Any
    ) -> None:
        self.dataset = forge_gpu.open(config.dataset_path or "prepared").dataset(
            "train", dp_rank, dp_world_size, config.seed, drop_last=True
        )
        self.rows, self.state = local_batch_size, self.dataset.state_dict()

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        packs = self.packs()
        while batch := list(islice(packs, self.rows)):
            ids, positions = (
                torch.stack([pack[name] for pack in batch]) for name in ("input_ids", "position_ids")
            )
            # Each stands over the token before. The first label of a row is -100, so none is of another row.
            labels = torch.stack([pack["labels"].roll(-1) for pack in batch])
            yield {"input": ids, "positions": positions}, labels

    def packs(self) -> Iterator[dict[str, Tensor]]:
        while True:
            began = self.state
            self.dataset.load_state_dict(began)
            for pack in self.dataset:
                self.state = self.dataset.state_after(1, self.state)
                yield pack
            if self.state == began:
                raise ValueError("there are fewer packs than ranks")

    def state_dict(self) -> dict[str, int]:
        return self.state

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.state = state_dict


def main() -> None:
    frame = pd.read_json(HERE / "chat.jsonl", lines=True)
    plan = forge_gpu.plan("support assistant", data=frame, template="chatml", settings=SETTINGS)
    with TemporaryDirectory() as folder:
        forge_gpu.prepare(plan.config, data=frame, output=folder)
        whole, _ = train(folder, STEPS)
        before, state = train(folder, STEPS // 2)
        after, _ = train(folder, STEPS - STEPS // 2, state)
    assert all(map(torch.equal, before + after, whole))
    print(
        f"{len(whole)} steps of {ROWS} packs; stopped after {len(before)}, it went on with the same batches"
    )


def train(
    folder: str, steps: int, state: dict[str, int] | None = None
) -> tuple[list[Tensor], dict[str, int]]:
    """The ids of each batch, and the state after them. state: of a run before."""
    config = PreparedDataLoader.Config(dataset_path=folder)
    # As torchtitan's trainer makes it.
    loader = config.build(dp_rank=0, dp_world_size=1, tokenizer=None, seq_len=LENGTH, local_batch_size=ROWS)
    if state is not None:
        loader.load_state_dict(state)
    return [inputs["input"] for inputs, _ in islice(loader, steps)], loader.state_dict()


if __name__ == "__main__":
    main()
