"""Splits that come with the data: which input file is which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from forge_gpu.config.schema import GivenSplits
from forge_gpu.errors import ConfigError
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.io.urls import is_url

ORDER = ("test", "validation", "train")
"""In which duplicates survive: the first row of several stays, and so files are read in this order."""


def with_splits(files: Sequence[InputFile], splits: GivenSplits, base: Path) -> list[InputFile]:
    """The files with the split of each, in the order in which duplicates survive; as they are where the plan
    names no splits. Raises ConfigError where a split names a file that is not an input, or two name one."""
    named: dict[str, str] = {}
    for split in ORDER:
        paths = getattr(splits, split)
        for file in resolve(paths, base) if paths else ():
            key = _identity(file)
            if key in named:
                raise ConfigError(f"data.splits: {file.path} is in {named[key]} and in {split}; name it once")
            named[key] = split
    if not named:
        return list(files)
    known = {_identity(file) for file in files}
    lost = next((split for key, split in named.items() if key not in known), None)
    if lost is not None:
        raise ConfigError(f"data.splits.{lost}: names a file that is none of data.inputs; add it there")
    split_files = [replace(file, split=named.get(_identity(file), "train")) for file in files]
    return sorted(split_files, key=lambda file: ORDER.index(file.split))


def _identity(file: InputFile) -> str:
    return file.url if is_url(file.url) else os.path.realpath(file.url)
