"""The facts of all rows, from the index of all ranges, for the decisions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.disk import output_fault
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.facts.registry import required_facts
from forge_gpu.job.state import index
from forge_gpu.kernels.layout import I64

BLOCK = 1 << 18
"""Rows whose values are set at once."""

BYTES_DECIDED = 9
"""Of what is decided of a row beside its facts: a fate, and which row it is a duplicate of."""


class Gathered:
    """Facts by their names, in mapped files below `folder` where they exceed the budget; without those that
    are read from the index an item at a time.

    starts: int64[ranges + 1], the first row of each range. ranges: the index files. rows: of the job.
    on_range: hears how many ranges are read; it may raise to stop.
    """

    def __init__(
        self,
        folder: Path,
        ranges: Sequence[Path],
        config: Config,
        budget_bytes: int,
        on_range: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.ranges = ranges
        counts = [index.read_facts(path).rows for path in ranges]
        self.starts: I64 = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        self.rows = int(self.starts[-1])
        facts = {fact.name: fact for fact in required_facts(config) if fact.at_once}
        self._folder = folder
        dense = self._allocate(config, [fact for fact in facts.values() if not fact.is_sparse], budget_bytes)
        sparse = {name: [np.zeros(0, fact.dtype)] for name, fact in facts.items() if fact.is_sparse}
        for number, (path, at, rows) in enumerate(zip(ranges, self.starts.tolist(), counts, strict=False)):
            on_range(number)
            if not rows:
                continue
            of_range = index.read_arrays(path, facts)
            for name, whole in dense.items():
                whole[at : at + rows] = of_range[name]
            for name, pieces in sparse.items():
                pieces.append(index.shifted(of_range[name], at))
        self._facts = dense | {name: np.concatenate(pieces) for name, pieces in sparse.items()}

    def __getitem__(self, fact: str) -> np.ndarray:
        return self._facts[fact]

    def get(self, fact: str) -> np.ndarray | None:
        """None where the plan does not require it."""
        return self._facts.get(fact)

    def array(self, name: str, dtype: np.dtype, value: int) -> np.ndarray:
        """An array of a value a row, for what is decided of all rows: mapped where the facts are."""
        made = self._made(name, (self.rows,), dtype)
        for start in range(0, self.rows, BLOCK):
            made[start : start + BLOCK] = value
        return made

    def _allocate(self, config: Config, facts: Sequence[Fact], budget_bytes: int) -> dict[str, np.ndarray]:
        sizes = {fact.name: (fact.shape(self.rows, config), fact.dtype) for fact in facts}
        total = sum(math.prod(shape) * dtype.itemsize for shape, dtype in sizes.values())
        self._is_mapped = bool(self.rows) and total + BYTES_DECIDED * self.rows > budget_bytes
        return {name: self._made(name, shape, dtype) for name, (shape, dtype) in sizes.items()}

    def _made(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if not self._is_mapped:
            return np.empty(shape, dtype)
        path = make_folder(self._folder) / f"{name}.npy"
        made = np.lib.format.open_memmap(path, "w+", dtype, shape)
        _reserve(path)
        return made


def _reserve(path: Path) -> None:
    """Take the room of a file that is mapped: a full disk would end the process when a page is written."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as fault:
            raise output_fault(fault, path, size) from fault
