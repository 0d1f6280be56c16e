"""Batches as tensors of PyTorch. Nothing else here imports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch.utils.data import IterableDataset, get_worker_info

from forge_gpu.loading.lines import Batch
from forge_gpu.loading.reader import Reader


class TokenDataset(IterableDataset):  # type: ignore[misc]  # of a library without types
    """Batches for a DataLoader with batch_size=None, or for a loop: dictionaries of `input_ids`, `labels` and
    `position_ids`, int64[t], and `seq_lengths`, int32[r], of the rows that stand one behind the other.

    An iteration is what is left of one epoch, and the next one is the same epoch anew: `set_epoch` names
    another.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader
        # Workers that live on see an epoch that is set while they wait.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """See `Reader.set_epoch`."""
        self._epoch.fill_(epoch)
        self._reader.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """See `Reader.state_dict`."""
        return self._reader.state_dict()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """See `Reader.load_state_dict`."""
        self._reader.load_state_dict(state)
        self._epoch.fill_(state["epoch"])

    def state_after(self, batches: int, since: Mapping[str, int] | None = None) -> dict[str, int]:
        """See `Reader.state_after`."""
        return self._reader.state_after(batches, since)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        self._reader.set_epoch(int(self._epoch))
        for batch in self._reader.batches(worker, workers):
            yield tensors(batch)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch as a model takes it, without the dimension of a batch."""
    return {
        "input_ids": torch.from_numpy(batch.input_ids).long(),
        "labels": torch.from_numpy(batch.labels).long(),
        "position_ids": torch.from_numpy(batch.position_ids).long(),
        "seq_lengths": torch.from_numpy(batch.lengths),
    }
