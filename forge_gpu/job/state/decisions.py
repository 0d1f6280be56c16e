"""What was decided of every row, and how it lies in the checkpoint.

A folder with a `.npy` file an array, and `decisions.json`: a line with its own checksum, then the rest, with
those of the files. So decisions that a loss of power has torn are known, and nothing waits for the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.fates import Fate
from forge_gpu.fates import name as name_of
from forge_gpu.io.atomic import PARTIAL, make_folder, write_checked
from forge_gpu.io.disk import output_fault
from forge_gpu.job.state.index import F64
from forge_gpu.kernels.cpu.hashing import checksum
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.plain import frozen

SPLITS = (Fate.TRAIN, Fate.VALIDATION, Fate.TEST)


@frozen
class Decisions:
    """fate: uint8[n] of Fate. duplicate_of: int64[n], the surviving row, or -1. rank: int64[n], the place of
    a row within its split where the output is shuffled, or None. record: int64[n], the number in the job of
    the record that a row is a part of; None where every row is a record.

    Where near-duplicates were looked for: cluster: int64[n], the smallest row of the row's cluster, or -1;
    partner: int64[n], the row it is most similar to, or -1; similarity: float64[n], how much.
    lines: uint32[n], how many lines of the output a row in a split becomes; None where each is one.
    places: uint32[n, 2], of a row in a split its pack, and its place there; None where rows are not packed.
    first_copy: int64[n + 1], where rows are repeated, the number of each one's first copy among those of all
    rows, which stand together; rows in no split have none. rank and places are then of copies.
    facts: the facts of all rows that have columns in the ledger, sparse ones with the job's row numbers.
    sections: of the manifest. warnings: a line each.
    """

    fate: U8
    duplicate_of: I64
    rank: I64 | None = None
    record: I64 | None = None
    cluster: I64 | None = None
    partner: I64 | None = None
    similarity: F64 | None = None
    lines: np.ndarray | None = None
    places: np.ndarray | None = None
    first_copy: I64 | None = None
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> U8:
        """Why each row is rejected, 0 where it is not: uint8[n]."""
        return self.facts["reason"]

    def counts(self) -> dict[Fate, int]:
        """How many rows have each fate."""
        return dict(self._counts)

    def lines_of(self, rows: slice) -> np.ndarray | int:
        """How many lines each of some rows becomes, all its copies together."""
        lines = 1 if self.lines is None else np.asarray(self.lines[rows]).astype(np.int64)
        return lines if self.first_copy is None else lines * self.copies_of(rows)

    def copies_of(self, rows: slice) -> np.ndarray | int:
        """How often each of some rows is written, of those in a split."""
        return 1 if self.first_copy is None else np.diff(self.first_copy[rows.start or 0 : _behind(rows)])

    def copies_within(self, rows: slice) -> slice:
        """Of rank and places the items of some rows."""
        if self.first_copy is None:
            return rows
        return slice(int(self.first_copy[rows.start]), int(self.first_copy[rows.stop]))

    def first_of(self, of_copies: np.ndarray, rows: slice) -> np.ndarray:
        """Of rank or places what the first copy of each of some rows has; of a row in no split anything."""
        if self.first_copy is None:
            return np.asarray(of_copies[rows])
        first = self.first_copy[rows]
        if not len(of_copies):
            return np.zeros((len(first), *of_copies.shape[1:]), of_copies.dtype)
        return np.asarray(of_copies)[np.minimum(first, len(of_copies) - 1)]

    def line_counts(self, rows: int | None = None) -> dict[Fate, int]:
        """How many lines the rows of each fate become; of so many rows, the first ones, where it is given."""
        first = slice(0, rows)
        lines = self.lines_of(first)
        weights = None if isinstance(lines, int) else np.where(self.fate[first] <= max(SPLITS), lines, 1)
        counts = np.bincount(self.fate[first], weights, minlength=len(Fate))
        return {fate: int(counts[fate]) for fate in Fate}

    def file_counts(self) -> dict[Fate, int]:
        """How many lines the files of each fate have: packs, where rows are packed."""
        counts = self.line_counts()
        if self.places is not None:
            counts |= {split: self.sections["packs"]["splits"][name_of(split)]["packs"] for split in SPLITS}
        return counts

    def rows_of_packs(self, split: Fate) -> np.ndarray:
        """How many rows each pack of a split has: int64[p]."""
        assert self.places is not None
        fate = np.asarray(self.fate)
        fate = fate if self.first_copy is None else np.repeat(fate, np.diff(self.first_copy))
        own = np.asarray(self.places[:, 0])[fate == split]
        return np.bincount(own, minlength=self.file_counts()[split])

    @cached_property
    def _counts(self) -> dict[Fate, int]:
        rows = np.bincount(self.fate, minlength=len(Fate))
        return {fate: int(rows[fate]) for fate in Fate}


def _behind(rows: slice) -> int | None:
    """Where an array ends that has an item more than there are rows."""
    return None if rows.stop is None else rows.stop + 1


_DOCUMENT = "decisions.json"
_FACT = "fact_"
_BLOCK = 2**20
_PLACE = 0x9E3779B97F4A7C15


def save(folder: Path, decisions: Decisions) -> None:
    """Write the decisions as a folder, in the place of one that is there. Raises OutputError."""
    partial = folder.with_name(folder.name + PARTIAL)
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    make_folder(partial)
    arrays = {name: getattr(decisions, name) for name in _decided()}
    arrays |= {_FACT + name: array for name, array in decisions.facts.items()}
    for name, array in arrays.items():
        if array is not None:
            _save_array(partial / f"{name}.npy", array)
    document = {
        "arrays": {path.name: _checksum(path) for path in sorted(partial.iterdir())},
        "sections": decisions.sections,
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
    arrays = {Path(name).stem: _load_array(folder / name) for name in document["arrays"]}
    facts = {name.removeprefix(_FACT): arrays.pop(name) for name in list(arrays) if name.startswith(_FACT)}
    decided: dict[str, Any] = {name: arrays.get(name) for name in _decided()}
    return Decisions(
        **decided, facts=facts, sections=document["sections"], warnings=tuple(document["warnings"])
    )


def _load_array(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(
        path, mmap_mode="r" if path.stat().st_size > _BLOCK else None, allow_pickle=False
    )
    return array


def _checksum(path: Path) -> int:
    """Of a file's bytes: the checksums of its blocks, each with its place."""
    whole = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole = (whole * _PLACE + _of_bytes(block)) % 2**64
    return whole


def _of_bytes(data: bytes) -> int:
    return checksum(np.frombuffer(data, np.uint8))


def _decided() -> list[str]:
    """The arrays that are no facts."""
    others = ("facts", "sections", "warnings")
    return [item.name for item in fields(Decisions) if item.name not in others]
