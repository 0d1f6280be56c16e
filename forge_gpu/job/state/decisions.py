"""What was decided of every row, and how it lies in the checkpoint.

A folder with a `.npy` file an array, and `facts.json`: a line with its own checksum, then the rest, with
those of the files. So decisions that a loss of power has torn are known, and nothing waits for the disk.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.fates import Fate
from forge_gpu.io.atomic import PARTIAL, make_folder, write_checked
from forge_gpu.io.disk import output_fault
from forge_gpu.job.state.index import F64
from forge_gpu.kernels.cpu.hashing import checksum
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
        """How many rows have each fate."""
        return dict(self._counts)

    @cached_property
    def _counts(self) -> dict[Fate, int]:
        rows = np.bincount(self.fate, minlength=len(Fate))
        return {fate: int(rows[fate]) for fate in Fate}


_DOCUMENT = "facts.json"
_PIECE = 2**20
_PLACE = 0x9E3779B97F4A7C15


def save(folder: Path, decisions: Decisions) -> None:
    """Write the decisions as a folder, in the place of one that is there. Raises OutputError."""
    partial = folder.with_name(folder.name + PARTIAL)
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    make_folder(partial)
    arrays = {name: getattr(decisions, name) for name in _arrays()}
    for name, array in arrays.items():
        if array is not None:
            _save_array(partial / f"{name}.npy", array)
    document = {
        "arrays": {path.name: _checksum(path) for path in sorted(partial.iterdir())},
        "facts": decisions.facts,
        "warnings": decisions.warnings,
    }
    body = orjson.dumps(document)
    write_checked(partial / _DOCUMENT, b"%016x\n%b" % (_of_bytes(body), body))
    partial.rename(folder)


def _save_array(path: Path, array: np.ndarray) -> None:
    try:
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    except OSError as fault:
        raise output_fault(fault, path, array.nbytes) from fault


def load(folder: Path) -> Decisions | None:
    """Map decisions that were saved; None where there are none, or not as they were written."""
    try:
        known, _, body = (folder / _DOCUMENT).read_bytes().partition(b"\n")
        if int(known, 16) != _of_bytes(body):
            return None
        document = orjson.loads(body)
        if any(_checksum(folder / name) != known for name, known in document["arrays"].items()):
            return None
    except (FileNotFoundError, ValueError):
        return None
    arrays = {name: _load_array(folder / f"{name}.npy", document["arrays"]) for name in _arrays()}
    return Decisions(**arrays, facts=document["facts"], warnings=tuple(document["warnings"]))


def _load_array(path: Path, present: dict[str, int]) -> Any:
    if path.name not in present:
        return None
    return np.load(path, mmap_mode="r" if path.stat().st_size > _PIECE else None, allow_pickle=False)


def _checksum(path: Path) -> int:
    """Of a file's bytes: the checksums of its pieces, each with its place."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found = (found * _PLACE + _of_bytes(piece)) % 2**64
    return found


def _of_bytes(data: bytes) -> int:
    return checksum(np.frombuffer(data, np.uint8))


def _arrays() -> list[str]:
    return [item.name for item in fields(Decisions) if item.name not in ("facts", "warnings")]
