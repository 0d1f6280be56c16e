"""How many tokens the rows of a job have: noted as they are written, for the ledger and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forge_gpu.fates import name
from forge_gpu.io.growing import GrowingFile
from forge_gpu.job.rows.encoded import COUNTS
from forge_gpu.job.state.decisions import SPLITS, Decisions

FILE = "token_counts"
ROW_BYTES = COUNTS.itemsize
_AT_ONCE = 1 << 20


class TokenCounts:
    """The counts of the rows so far, in the order of the input, as a file that goes on after a kill."""

    def __init__(self, folder: Path, rows_before: int) -> None:
        self._file = GrowingFile(folder / FILE, rows_before * ROW_BYTES)

    def append(self, counts: np.ndarray) -> None:
        self._file.write(counts.tobytes())

    def sync(self) -> None:
        self._file.sync()

    def all(self, rows: int) -> np.ndarray:
        """Those of all rows, mapped: COUNTS[rows]."""
        self._file.close()
        if not rows:
            return np.zeros(0, COUNTS)
        return np.memmap(self._file.path, COUNTS, "r", shape=(rows,))

    def close(self) -> None:
        self._file.close()


def section(
    decisions: Decisions, counts: np.ndarray, files: Sequence[str], rows_of_file: Sequence[int]
) -> dict[str, Any]:
    """Sums for the manifest: of each split, and of each input in it. tokens = trained + prompt."""
    starts = np.concatenate(([0], np.cumsum(rows_of_file))).astype(np.int64)
    splits: dict[str, Any] = {}
    for split in SPLITS:
        by_file = {
            file: _sums(decisions, counts, split, int(begin), int(end))
            for file, begin, end in zip(files, starts, starts[1:], strict=False)
        }
        whole = {key: sum(sums[key] for sums in by_file.values()) for key in _KEYS}
        splits[name(split)] = {**whole, "sources": by_file}
    return {
        **{key: sum(sums[key] for sums in splits.values()) for key in _KEYS},
        "splits": splits,
    }


_KEYS = ("rows", "tokens", "trained", "prompt", "straddling", "rows_with_control_text", "control_text")


def _sums(decisions: Decisions, counts: np.ndarray, split: int, begin: int, end: int) -> dict[str, int]:
    sums = dict.fromkeys(_KEYS, 0)
    for at in range(begin, end, _AT_ONCE):
        rows = slice(at, min(at + _AT_ONCE, end))
        own = np.asarray(counts[rows])[np.asarray(decisions.fate[rows]) == split]
        sums["rows"] += len(own)
        for key in ("tokens", "trained", "straddling", "control_text"):
            sums[key] += int(own[key].sum(dtype=np.int64))
        sums["rows_with_control_text"] += int(np.count_nonzero(own["control_text"]))
    sums["prompt"] = sums["tokens"] - sums["trained"]
    return sums


def facts_of(counts: np.ndarray) -> Mapping[str, np.ndarray]:
    """As the ledger takes them."""
    return {field: counts[field] for field in ("tokens", "trained", "control_text")}
