"""Which rows repeat an earlier one, by their 128-bit hashes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forge_gpu.kernels.layout import I64, U8, U64

FirstOccurrence = Callable[[U64, U8], I64]
"""`first_occurrence`, here or as an engine has it."""


def first_occurrence(hashes: U64, live: U8) -> I64:
    """For each row the first live row with the same hash: itself where it is the first, -1 where not live.

    hashes: uint64[n, 2], (low, high). live: uint8[n], 0 or not. Returns int64[n], an array of its own.
    Raises ValueError where the shapes do not agree.
    """
    check_shapes(hashes, live)
    first: dict[tuple[int, int], int] = {}
    result = np.full(len(hashes), -1, np.int64)
    for i, (low, high) in enumerate(hashes.tolist()):
        if live[i]:
            result[i] = first.setdefault((low, high), i)
    return result


def check_shapes(hashes: U64, live: U8) -> None:
    if hashes.ndim != 2 or hashes.shape[1] != 2 or live.shape != (len(hashes),):
        raise ValueError(f"hashes {hashes.shape} and live {live.shape} are not (n, 2) and (n,)")
