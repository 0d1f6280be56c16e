"""From a frame to Lightning's trainer, and a run that goes on from a checkpoint in the middle of an epoch.

    pip install 'forge-gpu[tokens]' lightning

Lightning fetches a batch ahead of the one that is trained, so its checkpoints hold what `Batches` has
counted. The model is tiny and knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

import forge_gpu

HERE = Path(__file__).parent
SETTINGS = ["output.form=tokens", "output.format=parquet", f"tokens.tokenizer={HERE / 'tokenizer.json'}"]
VOCABULARY, EPOCHS, STOP = 2048, 3, 16


class Batches(Callback):  # type: ignore[misc]  # of a library without types
    """A loader for Lightning, and a callback that counts what was trained: pass it as both."""

    def __init__(self, folder: str | Path, workers: int = 0) -> None:
        self.folder, self.workers = folder, workers
        self.state = {"epoch": 0, "batch": 0, "given": 0}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.dataset = forge_gpu.open(self.folder).dataset(
            "train", trainer.global_rank, trainer.world_size, seed=42, batch_tokens=1024, drop_last=True
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """What is left of an epoch."""
        self.dataset.load_state_dict(self.state)
        return iter(DataLoader(self.dataset, batch_size=None, num_workers=self.workers))

    def on_train_batch_end(self, *_: Any) -> None:
        self.state = self.dataset.state_after(1, self.state)

    def state_dict(self) -> dict[str, int]:
        """The same on all ranks, and for any number of them."""
        return self.state

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.state = state_dict


class Tiny(LightningModule):  # type: ignore[misc]
    """seen: the ids of each batch that was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, 32), nn.Linear(32, VOCABULARY)
        self.seen: list[list[int]] = []

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        self.seen.append(batch["input_ids"].tolist())
        guesses = self.head(self.embed(batch["input_ids"]))
        # The first label of a row is -100, so no row is predicted from the one before.
        return nn.functional.cross_entropy(guesses[:-1], batch["labels"][1:])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def main() -> None:
    frame = pd.read_json(HERE / "chat.jsonl", lines=True)
    plan = forge_gpu.plan("support assistant", data=frame, template="chatml", settings=SETTINGS)
    with TemporaryDirectory() as folder:
        forge_gpu.prepare(plan.config, data=frame, output=f"{folder}/prepared")
        whole = train(f"{folder}/prepared")
        before = train(f"{folder}/prepared", steps=STOP, checkpoints=folder)
        after = train(f"{folder}/prepared", resumed=f"{folder}/last.ckpt", workers=2)
    assert before + after == whole
    print(f"{len(whole)} steps; stopped after {len(before)}, it went on with the same batches")


def train(
    folder: str, steps: int = -1, checkpoints: str | None = None, resumed: str | None = None, workers: int = 0
) -> list[list[int]]:
    """The ids of each batch that was trained. checkpoints: a folder for `last.ckpt`, written at each step."""
    batches, model = Batches(folder, workers), Tiny()
    callbacks: list[Callback] = [batches]
    if checkpoints is not None:
        callbacks.append(ModelCheckpoint(checkpoints, save_last=True, save_top_k=0, every_n_train_steps=1))
    trainer = Trainer(
        max_epochs=EPOCHS, max_steps=steps, callbacks=callbacks, enable_checkpointing=checkpoints is not None,
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, batches, ckpt_path=resumed, weights_only=False)
    return model.seen


if __name__ == "__main__":
    main()
