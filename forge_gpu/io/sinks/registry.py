"""The formats there are: those that a plan's `output.format` can name, each the FORMAT of its module here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

from forge_gpu.config.schema import OutputConfig
from forge_gpu.io.sinks.base import Format
from forge_gpu.plain import frozen

NAMES: tuple[str, ...] = get_args(OutputConfig.model_fields["format"].annotation)


@frozen
class OfTokens:
    """What a format says of tokens beside their ids. labels: which are trained. packs: where the rows of a
    pack begin. firsts: whether the first token of a row is trained, which nothing predicts."""

    labels: bool
    packs: bool
    firsts: bool = True


OF_TOKENS = {
    "automodel": OfTokens(labels=True, packs=True, firsts=False),
    "litdata": OfTokens(labels=True, packs=True),
    "llamafactory": OfTokens(labels=True, packs=False),
    "mds": OfTokens(labels=True, packs=True),
    "megatron": OfTokens(labels=False, packs=False),
    "megatron_bridge": OfTokens(labels=True, packs=True, firsts=False),
    "nanogpt": OfTokens(labels=False, packs=False),
    "olmo": OfTokens(labels=True, packs=False),
    "skyrl": OfTokens(labels=True, packs=False),
    "swift": OfTokens(labels=True, packs=False),
    "together": OfTokens(labels=True, packs=False),
}
"""Those that hold tokens alone, for one trainer each."""

OF_MESSAGES = ("verl",)
"""Those that hold conversations, for trainers that apply a template themselves."""


@cache
def format_of(name: str) -> Format:
    """The format that a plan names."""
    if name not in NAMES:
        raise KeyError(name)
    result: Format = import_module(f"{__package__}.{name}").FORMAT
    return result


def formats() -> Iterator[Format]:
    """All of them."""
    return map(format_of, NAMES)


def is_output(file: str, stem: str) -> bool:
    """Whether a file's name is one that a split has in some format, or has while it is written."""
    return file.startswith(stem) and any(
        format.is_own(file, stem) or format.is_unfinished(file, stem) for format in formats()
    )


def is_unfinished(file: str, stem: str) -> bool:
    """Whether a file's name is one that a split has in some format until its job is finished."""
    return file.startswith(stem) and any(format.is_unfinished(file, stem) for format in formats())


def names_in(folder: Path, stems: Collection[str]) -> Iterator[str]:
    """The names in a folder of output, and in those of its folders that a split has in some format."""
    for path in folder.iterdir():
        yield path.name
        if path.name in stems and path.is_dir() and not path.is_symlink():
            yield from (f"{path.name}/{own.name}" for own in path.iterdir())


def stale_outputs(folder: Path, stem: str, ours: Collection[str]) -> list[Path]:
    """Files of a split that are none of ours, but of an earlier run or an unfinished state, so that no reader
    takes both."""
    return sorted(
        folder / name for name in names_in(folder, [stem]) if name not in ours and is_output(name, stem)
    )
