"""The decisions: which rows are duplicates and which split each row goes to. Integers only.

Arrays live in mapped files once they are larger than the budget allows, and the deciders work through
them in parts; what they decide depends neither on that nor on who made the index.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.dedup.exact import duplicates
from forge_gpu.fates import Fate
from forge_gpu.job import index
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.split import exact, order, temporal, threshold
from forge_gpu.split.fractions import Splits

SPLITS = (Fate.TRAIN, Fate.VALIDATION, Fate.TEST)


@dataclass(frozen=True)
class Decisions:
    """fate: uint8[n] of Fate. duplicate_of: int64[n], the surviving row, or -1. rank: int64[n], the place of
    a row within its split where the output is shuffled, or None. reason: uint8[n], as in the index.
    """

    fate: U8
    duplicate_of: I64
    reason: U8
    rank: I64 | None

    def counts(self) -> dict[Fate, int]:
        rows = np.bincount(self.fate, minlength=len(Fate))
        return {fate: int(rows[fate]) for fate in Fate}


class Gathered:
    """The index of all ranges, as arrays of all rows: in mapped files where they exceed the budget."""

    def __init__(self, folder: Path, ranges: Sequence[Path], config: Config, budget_bytes: int) -> None:
        settings = config.preprocessing.split
        items: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
            "reason": ((), np.uint8),
            "hashes": ((2,), np.uint64),
        }
        if settings.stratify is not None:
            items["stratum"] = ((), np.uint64)
        if settings.mode == "temporal":
            items["time"] = ((), np.int64)
        self.rows = sum(index.rows_of(path) for path in ranges)
        in_memory = self.rows * 8 * (len(items) + 1) <= budget_bytes
        arrays: dict[str, Any] = {}
        for name, (item, dtype) in items.items():
            shape = (self.rows, *item)
            if in_memory or not self.rows:
                arrays[name] = np.empty(shape, dtype)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                arrays[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        at = 0
        for path in ranges:
            part = index.read(path)
            for name, whole in arrays.items():
                if part.rows:
                    whole[at : at + part.rows] = getattr(part, name)
            at += part.rows
        self.reason: U8 = arrays["reason"]
        self.hashes: U64 = arrays["hashes"]
        self.stratum: U64 | None = arrays.get("stratum")
        self.time: I64 | None = arrays.get("time")


def decide(folder: Path, ranges: Sequence[Path], config: Config, budget_bytes: int) -> Decisions:
    """Every row's fate, from the index files of all ranges in order."""
    scratch = folder / "gathered"
    try:
        half = budget_bytes // 4  # the arrays, and what a decider takes; buffers of the passes hold the rest
        rows = Gathered(scratch, ranges, config, half)
        settings = config.preprocessing
        live = rows.reason == 0
        duplicate_of = np.full(rows.rows, -1, np.int64)
        if settings.dedup.exact:
            duplicate_of = duplicates(rows.hashes, live, half)
            live &= duplicate_of < 0
        fate = _split(rows, live, config, half)
        fate[rows.reason != 0] = Fate.REJECTED
        fate[duplicate_of >= 0] = Fate.DUPLICATE
        rank = None
        if config.output.order == "shuffled":
            rank = np.full(rows.rows, -1, np.int64)
            for split in SPLITS:
                chosen = fate == split
                rank[chosen] = order.shuffled_ranks(rows.hashes, chosen, settings.seed, budget_bytes // 2)[
                    chosen
                ]
        return Decisions(fate, duplicate_of, rows.reason.copy(), rank)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _split(rows: Gathered, live: npt.NDArray[np.bool_], config: Config, budget_bytes: int) -> U8:
    settings = config.preprocessing
    sizes = Splits(settings.train_split, settings.validation_split, settings.test_split)
    if settings.split.mode == "temporal":
        assert rows.time is not None
        return temporal.assign(rows.time, live, sizes)
    if settings.split.mode == "threshold":
        return threshold.assign(rows.hashes, live, sizes, settings.seed)
    return exact.assign(rows.stratum, rows.hashes, live, sizes, settings.seed, budget_bytes)


def save(folder: Path, decisions: Decisions) -> None:
    """Write the decisions as a folder that appears whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in ("fate", "duplicate_of", "reason", "rank"):
        array = getattr(decisions, name)
        if array is not None:
            with (partial / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
    partial.rename(folder)


def load(folder: Path) -> Decisions:
    """Map decisions that were saved."""

    def array(name: str) -> Any:
        path = folder / f"{name}.npy"
        if not path.exists():
            return None
        return np.load(path, mmap_mode="r" if path.stat().st_size > 2**20 else None, allow_pickle=False)

    return Decisions(array("fate"), array("duplicate_of"), array("reason"), array("rank"))
