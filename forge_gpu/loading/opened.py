"""A prepared folder of tokens, opened for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.io.sinks.token_columns import IDS
from forge_gpu.loading.lines import Lines
from forge_gpu.loading.mapped import mapped_split
from forge_gpu.loading.mixture import Mixture, is_mixture
from forge_gpu.loading.reader import Reader
from forge_gpu.plain import frozen
from forge_gpu.share.prepared import Prepared, open_prepared

if TYPE_CHECKING:
    from forge_gpu.loading.torch_rows import TokenDataset


@frozen
class PreparedTokens:
    """What `open` gives. splits: how many lines each has."""

    folder: Path
    splits: Mapping[str, int]
    _lines: Callable[[str], Lines]

    def dataset(
        self,
        split: str = "train",
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        batch_tokens: int | None = None,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> TokenDataset:
        """An IterableDataset of PyTorch, with the arguments of `reader`. Raises ForgeError."""
        reader = self.reader(split, rank, world, seed, batch_tokens, shuffle=shuffle, drop_last=drop_last)
        try:
            from forge_gpu.loading.torch_rows import TokenDataset
        except ModuleNotFoundError as lacking:
            if lacking.name != "torch":
                raise
            raise ForgeError(
                "dataset needs PyTorch: pip install torch; reader gives the same without it"
            ) from None
        return TokenDataset(reader)

    def reader(
        self,
        split: str = "train",
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        batch_tokens: int | None = None,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> Reader:
        """The same batches as NumPy arrays: see `Reader`. Raises ForgeError."""
        if split not in self.splits:
            raise InputError(f"{self.folder}: has no split {split!r}: choose one of {', '.join(self.splits)}")
        return Reader(self._lines(split), rank, world, seed, batch_tokens, shuffle, drop_last)


def open(folder: str | Path = "prepared") -> PreparedTokens:
    """A folder that `prepare` has filled with tokens, or `forge mix` with a mixture of such folders, for
    training code. The tokens of a split are mapped when a data set of it is asked for.

    Raises InputError where the folder is not there, is damaged, or has no tokens."""
    if is_mixture(folder):
        mixture = Mixture(Path(folder))
        return PreparedTokens(mixture.folder, mixture.splits, mixture.lines)
    prepared = open_prepared(folder)
    require_tokens(prepared)
    splits = {name: split.rows for name, split in prepared.splits.items()}
    return PreparedTokens(prepared.folder, splits, lambda split: Lines((mapped_split(prepared, split),)))


def require_tokens(prepared: Prepared) -> None:
    """Raises InputError where the rows of a folder are no tokens."""
    if prepared.manifest["columns"].get(IDS) != "ids":
        form = prepared.config.output.form
        if form == "tokens":
            raise InputError(
                f"{prepared.folder}: its prompts are alone, or separate from their answers, for a "
                "trainer that reads the files itself: prepare rows that are no pairs, with "
                "tokens.answers=labels"
            )
        raise InputError(
            f"{prepared.folder}: its rows have the form {form}, and no tokens: prepare it with "
            "output.form=tokens"
        )
