"""Rendered texts without the marks that programs put around literals and around what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forge_gpu.engine.halving import joined_texts
from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.kernels.token_layout import Runs


class Unmarked(NamedTuple):
    """See kernels.reference.token_rows.unmark; all of it on the host, in memory of its own. literals: the
    runs of what a template's own text wrote; trained: what the assistant wrote; unknown: uint8[n], rows of
    which it cannot be told."""

    texts: Text
    literals: Runs
    trained: Runs
    unknown: U8


def joined(parts: Sequence[Unmarked]) -> Unmarked:
    """The rows of all parts, one after the other."""
    sizes = [int(part.texts.offsets[-1]) for part in parts]
    first = np.cumsum([0, *sizes[:-1]])
    return Unmarked(
        joined_texts([part.texts for part in parts]),
        _joined_runs([part.literals for part in parts], first),
        _joined_runs([part.trained for part in parts], first),
        np.concatenate([part.unknown for part in parts]),
    )


def _joined_runs(parts: Sequence[Runs], first: I64) -> Runs:
    """first: int64[parts], where the bytes of each begin."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    moved = [(part.start + at, part.stop + at) for part, at in zip(parts, first, strict=True)]
    start, stop = (np.concatenate(each) for each in zip(*moved, strict=True))
    return Runs(np.concatenate(([0], np.cumsum(counts))), start, stop)
