"""Reads a prepared folder through PyTorch's DataLoader and torchdata's, and prints what it saw as JSON.

python stream_torch.py FOLDER
"""

from __future__ import annotations

import json
import sys
from itertools import islice

from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import forge_gpu

SEED, MOST = 7, 1024
WORKERS = (0, 1, 2)


def dataset(folder: str, rank: int = 0, world: int = 1):
    return forge_gpu.open(folder).dataset("train", rank, world, SEED, MOST)


def ids(batches) -> list[list[int]]:
    return [batch["input_ids"].tolist() for batch in batches]


def resumed(folder: str, rank: int, world: int, workers: int, cut: int) -> list[list[int]]:
    """The batches of a loader that was stopped, and of the one that went on from its state."""
    loader = StatefulDataLoader(dataset(folder, rank, world), batch_size=None, num_workers=workers)
    before = ids(islice(iter(loader), cut))
    state = loader.state_dict()
    again = StatefulDataLoader(dataset(folder, rank, world), batch_size=None, num_workers=workers)
    again.load_state_dict(state)
    return before + ids(again)


def main(folder: str) -> None:
    whole = ids(dataset(folder))
    shares = {}
    for world in (1, 2, 3, 4):
        for workers in WORKERS:
            rank = world - 1
            loader = DataLoader(dataset(folder, rank, world), batch_size=None, num_workers=workers)
            shares[f"{rank} {world} {workers}"] = ids(loader)
    cuts = {
        f"{rank} {world} {workers}": resumed(folder, rank, world, workers, cut)
        for rank, world, workers, cut in ((0, 1, 0, 3), (1, 2, 2, 1), (0, 1, 2, 3), (0, 1, 1, 5))
    }
    epochs = dataset(folder)
    living = DataLoader(epochs, batch_size=None, num_workers=1, persistent_workers=True)
    zero = ids(living)
    epochs.set_epoch(1)
    batch = next(iter(dataset(folder)))
    types = {name: str(tensor.dtype) for name, tensor in batch.items()}
    seen = {"whole": whole, "shares": shares, "cuts": cuts, "epochs": [zero, ids(living)], "types": types}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
