"""That nothing is in two splits: dedup keys, groups and clusters, from the index and the decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate
from forge_gpu.job.state import index
from forge_gpu.job.state.decisions import Decisions
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.split.select import blocks as blocks_of_rows

_MOST_BITS = 22
"""Of the filter, which has a slot a row where the rows are not too many."""
_MIXER = np.uint64(0x9E3779B97F4A7C15)
BYTES_A_ROW = 64
"""Peak of comparing: key, split, their copies and the order."""

Blocks = Callable[[], Iterator[tuple[U64, U8]]]
"""Starts a pass over the keys uint64[m, 2] and fates uint8[m] of all rows, block by block."""


def check(
    ranges: Sequence[tuple[Path, int]],
    decisions: Decisions,
    exact: bool,
    grouped: bool,
    is_whole: bool,
    budget_bytes: int,
) -> dict[str, Any]:
    """How many keys, groups and clusters are in more than one split; what the manifest says of it.

    ranges: the index file of each, and its rows. exact: whether exact duplicates were removed. Where they
    were not, equal rows may well be in two splits, and are only counted. grouped: whether the index has
    groups. is_whole: whether all parts of a record go to one split. Raises ValidationError for everything
    else.
    """

    def of_index(name: str) -> Iterator[tuple[np.ndarray, U8]]:
        end = 0
        for path, number in ranges:
            end += number
            if number:
                yield index.read_arrays(path, (name,))[name], np.asarray(decisions.fate[end - number : end])

    def groups() -> Iterator[tuple[U64, U8]]:
        for group, fate in of_index("group"):
            yield _wide(group), np.where(group == 0, np.uint8(Fate.REJECTED), fate)

    def clusters() -> Iterator[tuple[U64, U8]]:
        assert decisions.cluster is not None
        for block in blocks_of_rows(len(decisions.fate)):
            label, fate = np.asarray(decisions.cluster[block]), np.asarray(decisions.fate[block])
            yield _wide(label.astype(np.uint64)), np.where(label < 0, np.uint8(Fate.REJECTED), fate)

    def records() -> Iterator[tuple[U64, U8]]:
        assert decisions.record is not None
        for block in blocks_of_rows(len(decisions.fate)):
            record = np.asarray(decisions.record[block]).astype(np.uint64)
            yield _wide(record), np.asarray(decisions.fate[block])

    rows = len(decisions.fate)
    result: dict[str, Any] = {}
    result["keys_in_several_splits"] = count(lambda: of_index("hashes"), rows, budget_bytes)
    if grouped:
        result["groups_in_several_splits"] = count(groups, rows, budget_bytes)
    if is_whole and decisions.record is not None:
        result["records_in_several_splits"] = count(records, rows, budget_bytes)
    if decisions.cluster is not None:
        result["clusters_in_several_splits"] = count(clusters, rows, budget_bytes)
    for what, number in result.items():
        if number and (exact or not what.startswith("keys")):
            raise ValidationError(f"{number} {what.replace('_', ' ')}: a fault of Forge; please report this")
    return result


def message(keys: int) -> str:
    """What to say of equal rows that stay."""
    return f"{keys} dedup keys are in several splits: equal rows stay while dedup.exact is false"


def _wide(keys: U64) -> U64:
    return np.stack((keys, np.zeros_like(keys)), axis=1)


def count(blocks: Blocks, rows: int, budget_bytes: int) -> int:
    """How many distinct keys of so many rows are in more than one split. Rows of other fates take no part.

    Rows of validation and test, and those of train that a filter of them lets pass, are sorted, by ranges of
    the key where they are many. Memory: 4 MiB and `budget_bytes`, or what one key's rows need.
    """
    bits = min(max(rows.bit_length(), 1), _MOST_BITS)
    if rows * BYTES_A_ROW <= budget_bytes:
        blocks = _read_once(blocks)
    held = np.zeros(1 << bits, np.bool_)
    for keys, fate in blocks():
        mixed = _mixed(keys[(fate == Fate.VALIDATION) | (fate == Fate.TEST)])
        held[mixed >> np.uint64(64 - bits)] = True
    if rows * BYTES_A_ROW > budget_bytes:  # else all of them may be suspects
        rows = sum(len(chosen) for _, _, chosen in _suspects(blocks, held))
    shares = max(-(-rows * BYTES_A_ROW // max(budget_bytes, 1)), 1)
    return sum(_torn(blocks, held, number, shares) for number in range(shares))


def _read_once(blocks: Blocks) -> Blocks:
    read = list(blocks())
    return lambda: iter(read)


def _suspects(blocks: Blocks, held: npt.NDArray[np.bool_]) -> Iterator[tuple[U64, U8, npt.NDArray[np.intp]]]:
    shift = np.uint64(65 - len(held).bit_length())
    for keys, fate in blocks():
        likely = held[_mixed(keys) >> shift] & (fate <= Fate.TEST)
        yield keys, fate, np.flatnonzero(likely)


def _torn(blocks: Blocks, held: npt.NDArray[np.bool_], number: int, shares: int) -> int:
    """Torn keys of one of so many ranges of the mixed key."""
    low, high = np.uint64(2**64 * number // shares), np.uint64(2**64 * (number + 1) // shares - 1)
    suspects, splits = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.uint8)]
    for keys, fate, chosen in _suspects(blocks, held):
        mixed = _mixed(keys[chosen])
        chosen = chosen[(mixed >= low) & (mixed <= high)]
        suspects.append(keys[chosen])
        splits.append(fate[chosen])
    keys, split = np.concatenate(suspects), np.concatenate(splits)
    words = np.sort(keys[:, 0])
    if not (words[1:] == words[:-1]).any():  # no key twice, as where exact duplicates were removed
        return 0
    order = np.lexsort((split, keys[:, 1], keys[:, 0]))
    keys, split = keys[order], split[order]
    same = (keys[1:] == keys[:-1]).all(axis=1)
    changes = same & (split[1:] != split[:-1])
    key = np.cumsum(np.concatenate(([True], ~same))) if len(keys) else np.zeros(0, np.int64)
    return len(np.unique(key[1:][changes]))


def _mixed(keys: U64) -> U64:
    mixed: U64 = (keys[:, 0] ^ keys[:, 1]) * _MIXER
    return mixed
