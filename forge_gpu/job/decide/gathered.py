"""The index of all ranges as arrays of all rows, for the decisions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.disk import output_fault
from forge_gpu.job.rows.rows import kept_by
from forge_gpu.job.state import index
from forge_gpu.job.state.index import F64
from forge_gpu.kernels.layout import I64, U8, U64


class Gathered:
    """In mapped files below `folder` where the arrays exceed the budget.

    starts: int64[ranges + 1], the first row of each range. matched: int64[m, 3] and similarity: float64[m]
    as in the index, with rows of the job. source: uint32[n], of each row, as `sources` says of each
    range; None without a mixture. The others as in the index; None where the plan has no use for it.
    """

    def __init__(
        self,
        folder: Path,
        ranges: Sequence[Path],
        config: Config,
        budget_bytes: int,
        sources: Sequence[int] | None = None,
    ) -> None:
        counts = [index.read_facts(path).rows for path in ranges]
        self.starts: I64 = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        self.rows = int(self.starts[-1])
        arrays = self._allocate(folder, _items(config), budget_bytes)
        matched, similarity = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
        source = np.zeros(0 if sources is None else self.rows, np.uint32)
        for number, (path, rows) in enumerate(zip(ranges, counts, strict=True)):
            if not rows:
                continue
            at = int(self.starts[number])
            if sources is not None:
                source[at : at + rows] = sources[number]
            part = index.read_arrays(path, (*arrays, "matched", "similarity"))
            for name, whole in arrays.items():
                whole[at : at + rows] = part[name]
            if "matched" in part:
                matched.append(part["matched"] + np.array([at, 0, 0]))
                similarity.append(part["similarity"])
        self.source = None if sources is None else source
        self.reason: U8 = arrays["reason"]
        self.hashes: U64 = arrays["hashes"]
        self.stratum: U64 | None = arrays.get("stratum")
        self.time: I64 | None = arrays.get("time")
        self.group: U64 | None = arrays.get("group")
        self.text_bytes: I64 | None = arrays.get("text_bytes")
        self.score: F64 | None = arrays.get("score")
        self.matched: I64 = np.concatenate(matched)
        self.similarity: F64 = np.concatenate(similarity)

    def _allocate(
        self, folder: Path, items: dict[str, tuple[tuple[int, ...], npt.DTypeLike]], budget_bytes: int
    ) -> dict[str, Any]:
        in_memory = self.rows * 8 * (len(items) + 1) <= budget_bytes
        arrays: dict[str, Any] = {}
        for name, (item, dtype) in items.items():
            shape = (self.rows, *item)
            if in_memory or not self.rows:
                arrays[name] = np.empty(shape, dtype)
            else:
                path = make_folder(folder) / f"{name}.npy"
                arrays[name] = np.lib.format.open_memmap(path, "w+", dtype, shape)
                _reserve(path)
        return arrays


def _reserve(path: Path) -> None:
    """Take the room of a file that is mapped: a full disk would end the process when a page is written."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as fault:
            raise output_fault(fault, path, size) from fault


def _items(config: Config) -> dict[str, tuple[tuple[int, ...], npt.DTypeLike]]:
    """The arrays that the plan needs: the shape and the type of a row of each."""
    settings = config.preprocessing
    items: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
        "reason": ((), np.uint8),
        "hashes": ((2,), np.uint64),
    }
    if settings.split.stratify is not None:
        items["stratum"] = ((), np.uint64)
    if settings.split.mode == "temporal":
        items["time"] = ((), np.int64)
    if settings.split.group is not None:
        items["group"] = ((), np.uint64)
    if settings.dedup.near is not None:
        items["text_bytes"] = ((), np.int64)
        if kept_by(settings.dedup.near) is not None:
            items["score"] = ((), np.float64)
    return items
