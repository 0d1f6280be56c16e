"""One rank's share of the batches of an epoch, in an order that knows of no ranks and no workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from forge_gpu.errors import ConfigError
from forge_gpu.loading.lines import Batch, Lines
from forge_gpu.loading.order import batch_bounds, epoch_order

STATE = ("epoch", "batch", "given")


class Reader:
    """Batches of lines as NumPy arrays. Batch b of an epoch goes to rank b % world, and there to its workers
    in turn; iterating gives what is left of one epoch.

    rank, world: which process of how many trains with it. seed, shuffle: of the order; without shuffle it is
    the files'. batch_tokens: the most tokens of a batch, which holds whole lines; a line a batch if None.
    drop_last: leave out the last batches of an epoch that would not go round all ranks, so that each has as
    many as the others; else some may have one more. Raises ConfigError.
    """

    def __init__(
        self,
        lines: Lines,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        batch_tokens: int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        if world < 1 or not 0 <= rank < world:
            raise ConfigError(f"rank {rank} does not exist among {world}: ranks count from 0 to world - 1")
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed is {seed}: it must be a whole number from 0 to 2**64 - 1")
        longest = int(lines.tokens().max(initial=0))
        if batch_tokens is not None and longest > batch_tokens:
            raise ConfigError(
                f"batch_tokens is {batch_tokens:,}, and the longest line has {longest:,} tokens: name as "
                "many at least, or cut the rows"
            )
        self._lines, self._rank, self._world, self._seed = lines, rank, world, seed
        self._batch_tokens, self._shuffle, self._drop_last = batch_tokens, shuffle, drop_last
        self._begin = self._begun = self._now = (0, 0, 0)
        self._batches: dict[int, int] = {}
        """Of epochs that were counted."""

    def set_epoch(self, epoch: int) -> None:
        """Give this epoch from its beginning, or from where a state of it says that was loaded."""
        if epoch != self._begin[0]:
            self._begin = self._begun = self._now = (epoch, 0, 0)

    def state_dict(self) -> dict[str, int]:
        """Where it is. epoch; batch: of all ranks, from which on it gives its share; given: batches of all
        ranks that have gone by since. Outside of workers `given` is 0, and the state is for any number of
        ranks."""
        return dict(zip(STATE, self._now, strict=True))

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where a state says. Raises ConfigError where it is none."""
        self._begin = self._begun = self._now = _values(state)

    def state_after(self, batches: int, since: Mapping[str, int] | None = None) -> dict[str, int]:
        """The state when every rank has taken so many batches since a state; None: since this one's iteration
        began. For loaders that read ahead, and for another number of ranks from here on."""
        epoch, batch, given = self._begun if since is None else _values(since)
        batch += given + batches * self._world
        if batch >= self._count(epoch):
            return dict(zip(STATE, (epoch + 1, 0, 0), strict=True))
        return dict(zip(STATE, (epoch, batch, 0), strict=True))

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, worker: int = 0, workers: int = 1) -> Iterator[Batch]:
        """The share of one of the workers of this rank. Raises ConfigError for a state of other ranks."""
        epoch, first, given = self._begin
        stride = self._world * workers
        if given % stride:
            raise ConfigError(
                f"the state was left by other workers than {workers} of {self._world} ranks: load what "
                "state_after gives, which is for any number of them"
            )
        self._begun = self._now = self._begin
        order, bounds = self._bounds_of(epoch)
        own = range(first + given + worker * self._world + self._rank, self._count(epoch), stride)
        for number, batch in enumerate(own):
            gone = given + (number + 1) * stride
            self._now = (epoch, first, gone) if workers > 1 else (epoch, first + gone, 0)
            yield self._lines.take(order[bounds[batch] : bounds[batch + 1]].astype(np.int64))
        self._now, self._begin = (epoch + 1, 0, 0), (epoch, 0, 0)

    def _bounds_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self._lines)
        order = epoch_order(count, self._seed, epoch) if self._shuffle else np.arange(count, dtype=np.uint32)
        bounds = batch_bounds(self._lines.tokens()[order], self._batch_tokens)
        self._batches[epoch] = len(bounds) - 1
        return order, bounds

    def _count(self, epoch: int) -> int:
        """The batches of an epoch, for all ranks."""
        if epoch not in self._batches:
            self._bounds_of(epoch)
        batches = self._batches[epoch]
        return batches - batches % self._world if self._drop_last else batches


def _values(state: Mapping[str, int]) -> tuple[int, int, int]:
    """Raises ConfigError where it is no state."""
    values = tuple(state.get(key) for key in STATE)
    if not all(type(value) is int and value >= 0 for value in values):
        raise ConfigError(
            f"{dict(state)} is not a state of a data set: it has {', '.join(STATE)}, as numbers"
        )
    epoch, batch, given = (int(value or 0) for value in values)
    return epoch, batch, given
