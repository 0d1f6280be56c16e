"""Splits that come with the data, by the names of files and folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from forge_gpu.io.inputs import InputFile

NAMES = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation",
         "dev": "validation", "test": "test"}  # fmt: skip
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def split_of(path: str) -> str | None:
    """The split that a file's whole name, or that of the nearest folder above it, is the name of."""
    pure = PurePosixPath(path.lower())
    name = pure.name
    while (suffix := PurePosixPath(name).suffix) and not _SHARD.search(name):
        name = name.removesuffix(suffix)
    for part in (name, *reversed(pure.parts[:-1])):
        result = NAMES.get(_SHARD.sub("", part))
        if result is not None:
            return result
    return None


def given_splits(files: Sequence[InputFile]) -> dict[str, list[InputFile]]:
    """Split -> its files; empty where the names tell of none, or no file is for training. A file of no split
    is for training."""
    result: dict[str, list[InputFile]] = {}
    named = {file.path: split_of(file.path) for file in files}
    if "train" not in named.values() or not {"validation", "test"} & set(named.values()):
        return {}
    for file in files:
        result.setdefault(named[file.path] or "train", []).append(file)
    return result
