"""The step that puts the rows of each split into packs."""

from __future__ import annotations

from functools import partial

import numpy as np

from forge_gpu.fates import Fate, name
from forge_gpu.job.decide.verdict import Case, Verdict
from forge_gpu.job.rows.tokenizers import pack_length
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.kernels.arrays import Arrays
from forge_gpu.kernels.layout import I64
from forge_gpu.packs.places import PACKERS, U32, groups_of, padded, section, sums
from forge_gpu.split.select import blocks

Numbers = U32 | I64
"""Of rows, or of copies of rows."""


def packs(case: Case, verdict: Verdict) -> None:
    """The pack of each row, its place there, and so the order of the output. Rows are packed in the order
    that they have without."""
    output = case.config.output
    if output.packing == "none" or case.tokens is None:
        return
    most, splits, ordered = pack_length(case.config), {}, []
    count = case.facts.rows if verdict.first_copy is None else int(verdict.first_copy[-1])
    places = verdict.places = np.zeros((count, 2), np.uint32)
    for split in SPLITS:
        rows, copies = _in_order(case, verdict, split)
        lengths = _lengths(case, rows)
        files = _files(case, rows) if output.pack_within == "file" else np.zeros(0, np.int64)
        groups = groups_of(output.pack_within, lengths, files)
        del rows, files
        made = PACKERS[output.packing](padded(lengths, output.pad_rows_to), most, groups)
        splits[name(split)] = sums(output, most, lengths, made)
        del lengths, groups
        for some in blocks(len(copies)):
            places[copies[some]] = made.places[some]
        ordered.append((copies, made.ranks))
        del made
    verdict.rank = np.full(count, -1, np.int64)
    for copies, ranks in ordered:
        for some in blocks(len(copies)):
            verdict.rank[copies[some]] = ranks[some]
    verdict.sections["packs"] = section(output, most, splits)


def _in_order(case: Case, verdict: Verdict, split: Fate) -> tuple[Numbers, Numbers]:
    """(of each copy of the rows of a split, in the order that they have without packs: which row it is of;
    its number among those of all rows). The same array where no row is repeated."""
    rows, copies = verdict.copies_of(verdict.fate == split)
    if verdict.rank is not None:
        in_order = case.decided(partial(_ascending, verdict.rank[copies]))
        rows, copies = rows[in_order], copies[in_order]
    of_rows = _narrow(rows)
    return of_rows, of_rows if verdict.first_copy is None else _narrow(copies)


def _narrow(numbers: I64) -> Numbers:
    """Ascending or not, in half of the room where they fit."""
    return numbers.astype(np.uint32) if numbers.max(initial=0) < 2**32 else numbers


def _lengths(case: Case, rows: Numbers) -> U32:
    """The tokens of some rows."""
    assert case.tokens is not None
    lengths, tokens, beside = np.empty(len(rows), np.uint32), case.tokens["tokens"], case.beside
    for some in blocks(len(rows)):
        own = beside if isinstance(beside, int) else beside[rows[some]]
        lengths[some] = tokens[rows[some]] + own
    return lengths


def _ascending(ranks: I64, arrays: Arrays) -> I64:
    order: I64 = arrays.here(arrays.ascending(arrays.there(ranks)))
    return order


def _files(case: Case, rows: Numbers) -> I64:
    """The input file of each of some rows."""
    of_range = np.searchsorted(case.facts.starts, rows, side="right") - 1
    return np.asarray(case.files, np.int64)[of_range]
