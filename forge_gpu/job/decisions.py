"""What was decided of every row, and how it lies in the checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.fates import Fate
from forge_gpu.job.index import F64
from forge_gpu.kernels.layout import I64, U8

SPLITS = (Fate.TRAIN, Fate.VALIDATION, Fate.TEST)


@dataclass(frozen=True)
class Decisions:
    """fate: uint8[n] of Fate. duplicate_of: int64[n], the surviving row, or -1. rank: int64[n], the place of
    a row within its split where the output is shuffled, or None. reason: uint8[n], as in the index.

    Where near-duplicates were looked for: cluster: int64[n], the smallest row of the row's cluster, or -1;
    partner: int64[n], the row it is most similar to, or -1; similarity: float64[n], how much.
    Where there are evaluation files: matched: int64[m, 3], as in the index, and matched_similarity:
    float64[m]. facts: sections of the manifest. warnings: a line each.
    """

    fate: U8
    duplicate_of: I64
    reason: U8
    rank: I64 | None
    cluster: I64 | None = None
    partner: I64 | None = None
    similarity: F64 | None = None
    matched: I64 | None = None
    matched_similarity: F64 | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def counts(self) -> dict[Fate, int]:
        rows = np.bincount(self.fate, minlength=len(Fate))
        return {fate: int(rows[fate]) for fate in Fate}


_DOCUMENT = "facts.json"


def save(folder: Path, decisions: Decisions) -> None:
    """Write the decisions as a folder that appears whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    document = {"facts": decisions.facts, "warnings": decisions.warnings}
    (partial / _DOCUMENT).write_bytes(orjson.dumps(document))
    for name in _arrays():
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

    document = orjson.loads((folder / _DOCUMENT).read_bytes())
    arrays = {name: array(name) for name in _arrays()}
    return Decisions(**arrays, facts=document["facts"], warnings=tuple(document["warnings"]))


def _arrays() -> list[str]:
    return [item.name for item in fields(Decisions) if item.name not in ("facts", "warnings")]
