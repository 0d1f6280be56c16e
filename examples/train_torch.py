"""From a frame to a loop of plain PyTorch: batches of whole rows, and a run that goes on where it stopped.

    pip install 'forge-gpu[tokens]' torch

The model is tiny and knows nothing. It sees one row at a time of a batch: `seq_lengths` says where they end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import forge_gpu

HERE = Path(__file__).parent
SETTINGS = ["output.form=tokens", "output.format=parquet", f"tokens.tokenizer={HERE / 'tokenizer.json'}"]
VOCABULARY, STEPS = 2048, 6


def main() -> None:
    frame = pd.read_json(HERE / "chat.jsonl", lines=True)
    plan = forge_gpu.plan("support assistant", data=frame, template="chatml", settings=SETTINGS)
    with TemporaryDirectory() as folder:
        forge_gpu.prepare(plan.config, data=frame, output=folder)
        whole = train(folder, steps=STEPS)
        state = forge_gpu.open(folder).dataset("train", batch_tokens=1024).state_after(STEPS // 2)
        rest = train(folder, steps=STEPS - STEPS // 2, state=state, workers=2)
    assert all(map(math.isfinite, whole))
    print(f"{len(whole)} steps, then {len(rest)} from the middle on, loss {whole[-1]:.3f}")


def train(folder: str, steps: int, state: dict[str, int] | None = None, workers: int = 0) -> list[float]:
    """The loss of each step. state: of a run before, with any number of ranks and workers."""
    torch.manual_seed(0)
    dataset = forge_gpu.open(folder).dataset(
        "train", rank=0, world=1, seed=42, batch_tokens=1024, drop_last=True
    )
    if state is not None:
        dataset.load_state_dict(state)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    model = Tiny()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-2), []
    for _, batch in zip(range(steps), loader, strict=False):
        guesses = torch.cat([model(ids[:-1]) for ids, _ in rows_of(batch)])
        labels = torch.cat([labels[1:] for _, labels in rows_of(batch)])
        loss = nn.functional.cross_entropy(guesses, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


class Tiny(nn.Module):  # type: ignore[misc]  # of a library without types
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.recur = nn.Embedding(VOCABULARY, 32), nn.GRU(32, 32)
        self.head = nn.Linear(32, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        guesses: Tensor = self.head(self.recur(self.embed(ids))[0])
        return guesses


def rows_of(batch: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels of each row of a batch."""
    lengths = batch["seq_lengths"].tolist()
    yield from zip(batch["input_ids"].split(lengths), batch["labels"].split(lengths), strict=True)


if __name__ == "__main__":
    main()
