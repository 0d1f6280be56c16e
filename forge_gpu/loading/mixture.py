"""A folder that `forge mix` has left, opened: lines of several prepared folders by one index."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.errors import InputError
from forge_gpu.job.output.result import MANIFEST
from forge_gpu.loading.lines import Lines
from forge_gpu.loading.mapped import mapped_split
from forge_gpu.share.prepared import Prepared, open_prepared

MIXTURE, INDEX = "mixture.json", "train.index"
"""Its manifest; and uint32[n, 2], little-endian: the numbers of a source, and of a line of its train."""
SPLIT = "train"
"""What is mixed. Other splits are those of all sources, one behind the other."""


def is_mixture(folder: str | Path) -> bool:
    return (Path(folder) / MIXTURE).exists()


class Mixture:
    """folder: has a mixture.json. Raises InputError if it is not a mixture or its sources changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            document: dict[str, Any] = orjson.loads((folder / MIXTURE).read_bytes())
            self._rows = int(document["lines"])
            named = [(str(entry["folder"]), entry["manifest_sha256"]) for entry in document["sources"]]
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise InputError(f"{folder / MIXTURE}: is not a mixture of Forge: {fault}") from None
        self.sources = [open_prepared(folder.resolve().parent / path) for path, _ in named]
        for source, (_, digest) in zip(self.sources, named, strict=True):
            if digest_of(source) != digest:
                raise InputError(
                    f"{source.folder}: was prepared anew since it was mixed; run forge mix again"
                )

    @property
    def splits(self) -> dict[str, int]:
        """How many lines each split has."""
        splits = {SPLIT: self._rows}
        for source in self.sources:
            for name, split in source.splits.items():
                if name != SPLIT:
                    splits[name] = splits.get(name, 0) + split.rows
        return splits

    def lines(self, split: str) -> Lines:
        """Raises ForgeError."""
        own = [source for source in self.sources if split in source.splits]
        mapped = [mapped_split(source, split) for source in own]
        counts = np.array([len(of.at) - 1 for of in mapped], np.int64)
        if split != SPLIT:
            line = np.concatenate([np.arange(count) for count in counts])
            return Lines(
                mapped, np.stack([np.repeat(np.arange(len(counts)), counts), line], 1).astype(np.uint32)
            )
        path = self.folder / INDEX
        try:
            index = np.fromfile(path, "<u4").reshape(-1, 2)
        except (OSError, ValueError) as fault:
            raise InputError(f"{path}: cannot be read: {fault}; run forge mix again") from None
        is_sound = len(index) == self._rows and (index[:, 0] < len(counts)).all()
        if not is_sound or not (index[:, 1] < counts[index[:, 0]]).all():
            raise InputError(f"{path}: does not fit its mixture; run forge mix again")
        return Lines(mapped, index)


def digest_of(source: Prepared) -> str:
    """Of a folder's manifest."""
    return hashlib.sha256((source.folder / MANIFEST).read_bytes()).hexdigest()
