"""Texts of two folders wherever they are: which are in one alone, and which are in another split.

Hashes go to buckets by their own bits, on the disk, and each bucket is compared by itself: so memory does not
grow with the rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from forge_gpu.fates import name
from forge_gpu.io.disk import output_fault
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen
from forge_gpu.share.differ.row_hashes import HASH, RowHashes
from forge_gpu.share.prepared import Prepared

ROWS_AT_ONCE = 2**18
BUCKET_ROWS = 2**18
"""About so many rows of each side are in memory at once."""
NUMBERS = {name(split): number for number, split in enumerate(SPLITS)}
ENTRY = np.dtype([("low", np.uint64), ("high", np.uint64), ("split", np.uint8), ("count", np.int64)])


@frozen
class TextChanges:
    """Rows of splits: whose text is in A alone, in B alone, in both in the same split, in both in another."""

    only_in_a: int
    only_in_b: int
    same: int
    moved: int


def compare_texts(
    folders: tuple[Prepared, Prepared], hashes: tuple[RowHashes, RowHashes], scratch: Path
) -> TextChanges:
    """Each text counts as often as it is there. scratch: a folder for the buckets. Raises OutputError."""
    buckets = max(1, -(-max(len(of.hashes) for of in hashes) // BUCKET_ROWS))
    for side, (prepared, of) in enumerate(zip(folders, hashes, strict=True)):
        _partition(prepared, of, scratch, side, buckets)
    totals = np.zeros(4, np.int64)
    for bucket in range(buckets):
        totals += _compare(*(_read(scratch / f"{side}-{bucket}") for side in (0, 1)))
    return TextChanges(*totals.tolist())


def _partition(prepared: Prepared, hashes: RowHashes, scratch: Path, side: int, buckets: int) -> None:
    """Append the hashes of one side to its buckets; equal ones of a stretch as one entry."""
    for split, files in prepared.split_files.items():
        for file in files:
            first = hashes.first[file.file]
            for begin in range(first, first + hashes.rows[file.file], ROWS_AT_ONCE):
                end = min(begin + ROWS_AT_ONCE, first + hashes.rows[file.file])
                _append(_entries(hashes.hashes[begin:end], NUMBERS[split]), scratch, side, buckets)


def _entries(hashes: np.ndarray, split: int) -> np.ndarray:
    """ENTRY[m], one for each hash that occurs."""
    order, is_first = _grouped(hashes)
    firsts = np.flatnonzero(is_first)
    entries = np.zeros(len(firsts), ENTRY)
    for half in HASH.names or ():
        entries[half] = hashes[half][order[firsts]]
    entries["split"], entries["count"] = split, np.diff(firsts, append=len(order))
    return entries


def _grouped(hashes: np.ndarray) -> tuple[I64, np.ndarray]:
    """int64[n], an order in which equal hashes stand together; bool[n], where in it another one begins."""
    low, high = np.ascontiguousarray(hashes["low"]), np.ascontiguousarray(hashes["high"])
    order = np.argsort(low, kind="stable")
    if (low[order][1:] == low[order][:-1]).any():
        order = np.lexsort((high, low))
    low, high = low[order], high[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return order, is_first


def _append(entries: np.ndarray, scratch: Path, side: int, buckets: int) -> None:
    bucket = (entries["high"] % np.uint64(buckets)).astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(buckets + 1))
    for number in np.flatnonzero(np.diff(edges)).tolist():
        path = scratch / f"{side}-{number}"
        try:
            with path.open("ab") as file:
                file.write(entries[order[edges[number] : edges[number + 1]]].tobytes())
        except OSError as fault:
            raise output_fault(fault, path) from fault


def _read(path: Path) -> np.ndarray:
    if not path.exists():
        return np.zeros(0, ENTRY)
    entries = np.fromfile(path, ENTRY)
    path.unlink()
    return entries


def _compare(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int64[4], as the fields of TextChanges."""
    both = np.concatenate([a, b])
    order, is_first = _grouped(both)
    text = np.empty(len(both), np.int64)
    text[order] = np.cumsum(is_first) - 1
    texts = int(is_first.sum())
    width = len(SPLITS)
    slot = text * width + both["split"]
    counts = [
        np.bincount(slot[side], both["count"][side], texts * width).astype(np.int64).reshape(texts, width)
        for side in (slice(0, len(a)), slice(len(a), None))
    ]
    of_a, of_b = (of.sum(axis=1) for of in counts)
    shared = np.minimum(of_a, of_b)
    same = np.minimum(*counts).sum(axis=1)
    return np.array([(of_a - shared).sum(), (of_b - shared).sum(), same.sum(), (shared - same).sum()])
