"""The step that puts the rows of each split into packs."""

from __future__ import annotations

from functools import partial

import numpy as np

from forge_gpu.fates import name
from forge_gpu.job.decide.verdict import Case, Verdict
from forge_gpu.job.rows.tokenizers import pack_length
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.kernels.arrays import Arrays
from forge_gpu.kernels.layout import I64
from forge_gpu.packs.places import PACKERS, groups_of, padded, section


def packs(case: Case, verdict: Verdict) -> None:
    """The pack of each row, its place there, and so the order of the output. Rows are packed in the order
    that they have without."""
    output = case.config.output
    if output.packing == "none" or case.tokens is None:
        return
    most, splits = pack_length(case.config), {}
    count = case.facts.rows if verdict.first_copy is None else int(verdict.first_copy[-1])
    places = verdict.places = np.zeros((count, 2), np.uint32)
    ranks = np.full(count, -1, np.int64)
    for split in SPLITS:
        rows, copies = verdict.copies_of(verdict.fate == split)
        if verdict.rank is not None:
            in_order = case.decided(partial(_ascending, verdict.rank[copies]))
            rows, copies = rows[in_order], copies[in_order]
        lengths = np.asarray((case.beside + case.tokens["tokens"])[rows], np.uint32)
        groups = groups_of(output.pack_within, lengths, _files(case, rows))
        made = PACKERS[output.packing](padded(lengths, output.pad_rows_to), most, groups)
        places[copies], ranks[copies] = made.places, made.ranks
        splits[name(split)] = lengths, made
    verdict.rank = ranks
    verdict.sections["packs"] = section(output, most, splits)


def _ascending(ranks: I64, arrays: Arrays) -> I64:
    order: I64 = arrays.here(arrays.ascending(arrays.there(ranks)))
    return order


def _files(case: Case, rows: I64) -> I64:
    """The input file of each of some rows."""
    of_range = np.searchsorted(case.facts.starts, rows, side="right") - 1
    return np.asarray(case.files, np.int64)[of_range]
