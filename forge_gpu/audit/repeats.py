"""Which rows repeat an earlier one, by hashes alone: 8 bytes a hash, sorted, are all that is held."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import U64

MOST_RUNS = 8
"""Sorted arrays beside the large one, before they are joined with it."""


class Repeats:
    """Rows with several hashes each repeat another where one of them is equal at the same place."""

    def __init__(self) -> None:
        self._runs: list[U64] = []

    def seen(self, hashes: U64) -> np.ndarray:
        """Which rows have a hash that an earlier row had: bool[n]. hashes: uint64[n, places]."""
        n, places = hashes.shape
        place = np.arange(places, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        keys = (hashes ^ place).reshape(-1)
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        again = np.zeros(n * places, np.bool_)
        again[order[1:]] = ranked[1:] == ranked[:-1]
        for run in self._runs:
            at = np.searchsorted(run, keys)
            again |= run[np.minimum(at, len(run) - 1)] == keys
        if n:
            self._runs.append(np.unique(ranked))
        if len(self._runs) > MOST_RUNS:
            self._runs = [np.unique(np.concatenate(self._runs))]
        return np.asarray(again.reshape(n, places).any(axis=1), np.bool_)
