"""Which pack each row of a split is in, and where: a function of the rows' lengths, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import OutputConfig
from forge_gpu.kernels.cpu.packing import best_fit
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen
from forge_gpu.split.select import blocks

U32 = npt.NDArray[np.uint32]


@frozen
class Packs:
    """places: uint32[n, 2], of each row its pack and its place there. ranks: uint32[n], the row's place in
    the order of (pack, place). count: of packs."""

    places: U32
    ranks: U32
    count: int


def groups_of(within: str, lengths: U32, files: I64) -> I64 | None:
    """Groups of rows that share no pack, as `output.pack_within` names them: int64[n]; None where all may.

    file: those of a file. length: those whose lengths have as many binary digits, so that none is twice as
    long as another. files: int64[n], the file of each row.
    """
    match within:
        case "file":
            return files
        case "length":
            return np.frexp(lengths.astype(np.float64))[1].astype(np.int64)
    return None


def padded(lengths: U32, multiple: int) -> U32:
    """Lengths with what makes each a multiple of so many tokens; as they are where that is one."""
    if multiple == 1:
        return lengths
    return ((lengths.astype(np.int64) + multiple - 1) // multiple * multiple).astype(np.uint32)


def section(output: OutputConfig, length: int, splits: Mapping[str, dict[str, int]]) -> dict[str, Any]:
    """What the manifest says of packs. length: of a pack; splits: the sums of each."""
    return {"packing": output.packing, "length": length, "splits": dict(splits)}


def sums(output: OutputConfig, length: int, lengths: U32, packs: Packs) -> dict[str, int]:
    """What the manifest says of the packs of a split. length: of a pack; lengths: of the rows."""
    tokens = int(lengths.sum(dtype=np.int64))
    made = {"packs": packs.count, "rows": len(lengths), "tokens": tokens}
    if (output.pad_rows_to, output.pad_to) == (1, 1):
        return made
    if output.packing == "wrapped":
        of_packs = np.diff(np.minimum(np.arange(packs.count + 1) * length, tokens))
    else:
        of_packs = np.zeros(packs.count, np.int64)
        for some in blocks(len(lengths)):
            np.add.at(of_packs, packs.places[some, 0], padded(lengths[some], output.pad_rows_to))
    whole = -(-of_packs // output.pad_to) * output.pad_to
    return made | {"padding": int(whole.sum()) - tokens}


class Packer(Protocol):
    def __call__(self, lengths: U32, most: int, groups: I64 | None) -> Packs:
        """lengths: uint32[n], in tokens. most: tokens of a pack. groups: int64[n]; no pack holds rows of two
        of them, and those of a lower one come first. None: all are of one."""


def best_fit_packs(lengths: U32, most: int, groups: I64 | None = None) -> Packs:
    """Whole rows, best fit decreasing: place is the number of the row in its pack. No row is longer than
    `most`."""
    if groups is None:
        places, counts = best_fit(lengths, most)
        first = np.cumsum(counts, dtype=np.uint32) - counts
        ranks = np.empty(len(lengths), np.uint32)
        for some in blocks(len(lengths)):
            np.add(first[places[some, 0]], places[some, 1], out=ranks[some])
        return Packs(places, ranks, len(counts))
    places, ranks = np.empty((len(lengths), 2), np.uint32), np.empty(len(lengths), np.uint32)
    packs = done = 0
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        own = best_fit_packs(lengths[rows], most)
        places[rows, 0], places[rows, 1] = own.places[:, 0] + packs, own.places[:, 1]
        ranks[rows] = own.ranks + done
        packs, done = packs + own.count, done + len(rows)
    return Packs(places, ranks, packs)


def wrapped_packs(lengths: U32, most: int, groups: I64 | None = None) -> Packs:
    """Rows one behind the other, cut every `most` tokens: place is the token of its pack that a row begins
    at. Groups follow each other without a gap."""
    ranks = np.arange(len(lengths), dtype=np.uint32)
    if groups is not None:
        ranks[np.argsort(groups, kind="stable")] = np.arange(len(lengths), dtype=np.uint32)
        lengths, given = np.empty_like(lengths), lengths
        lengths[ranks] = given
    places, total = np.empty((len(lengths), 2), np.uint32), 0
    for some in blocks(len(lengths)):
        ends = total + np.cumsum(lengths[some], dtype=np.int64)
        begins = ends - lengths[some]
        places[some, 0], places[some, 1] = begins // most, begins % most
        total = int(ends[-1])
    return Packs(places if groups is None else places[ranks], ranks, -(-total // most))


PACKERS: dict[str, Packer] = {"bfd": best_fit_packs, "wrapped": wrapped_packs}
"""By what `output.packing` names."""
