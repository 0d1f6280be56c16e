"""The steps that place the rows that are left: into splits, and into an order within each."""

from __future__ import annotations

from functools import partial

import numpy as np

from forge_gpu.errors import ConfigError
from forge_gpu.fates import Fate, name
from forge_gpu.hardware import shares
from forge_gpu.job.decide.removal import source_of_rows
from forge_gpu.job.decide.verdict import Bool, Case, Verdict
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.split import exact, groups
from forge_gpu.split.fractions import Splits


def split(case: Case, verdict: Verdict) -> None:
    """The split of every row that is still open."""
    _place_given(case, verdict)
    open_rows = verdict.open_rows
    fates = _splits(case, verdict, open_rows)
    verdict.fate[open_rows] = fates[open_rows]


def _place_given(case: Case, verdict: Verdict) -> None:
    """Rows of files that are the validation or test split stay what they are."""
    for fate in (Fate.VALIDATION, Fate.TEST):
        if name(fate) in case.splits:
            is_of = np.array([case.splits[file] == name(fate) for file in case.files], np.bool_)
            verdict.settle(verdict.open_rows & np.repeat(is_of, np.diff(case.facts.starts)), fate)


def _splits(case: Case, verdict: Verdict, open_rows: Bool) -> U8:
    settings, facts = case.config.preprocessing, case.facts
    sizes = Splits(
        settings.train_split,
        0.0 if name(Fate.VALIDATION) in case.splits else settings.validation_split,
        0.0 if name(Fate.TEST) in case.splits else settings.test_split,
    )
    if settings.split.mode == "temporal":
        from forge_gpu.split import temporal

        return case.decided(partial(temporal.assign, facts["time"], open_rows, sizes))
    if settings.split.mode == "threshold":
        from forge_gpu.split import threshold

        hashes = _hashes_of_records(facts["hashes"], verdict, open_rows)
        return case.decided(partial(threshold.assign, hashes, open_rows, sizes, settings.seed))
    drawn_by = facts["hashes"], open_rows, sizes, settings.seed, shares.DECIDER.of(case.budget_bytes)
    group = _groups(case, verdict, open_rows)
    if group is None:
        return case.decided(partial(exact.assign, verdict.stratum, *drawn_by))
    made = case.decided(partial(groups.assign, group, verdict.stratum, *drawn_by))
    size = np.bincount(group[open_rows], minlength=1)
    verdict.sections["groups"] = {
        "groups_of_several_rows": int(np.count_nonzero(size > 1)),
        "rows_in_them": int(size[size > 1].sum()),
        "largest": int(size.max()),
        "reasons": list(made.reasons),
    }
    verdict.warnings += tuple(made.reasons)
    return made.fates


def _groups(case: Case, verdict: Verdict, open_rows: Bool) -> I64 | None:
    """The group of each row as its smallest open row; None where the plan keeps no groups whole."""
    settings = case.config.preprocessing
    groupings: list[I64] = []
    group = case.facts.get("group")
    if group is not None:
        present = open_rows & (group != 0)
        if open_rows.any() and not present.any():
            raise ConfigError(
                f"preprocessing.split.group: no row has a value in the column {settings.split.group!r}; "
                "choose another column"
            )
        groupings.append(groups.groups_of(group, present, case.engine.first_occurrence))
    if verdict.record is not None and (np.bincount(verdict.record[open_rows]) > 1).any():
        of_record = verdict.record.astype(np.uint64)
        groupings.append(groups.groups_of(of_record, open_rows, case.engine.first_occurrence))
    near = settings.dedup.near
    if verdict.clusters is not None and near is not None and near.action == "group":
        groupings.append(verdict.clusters.label)
    return groups.merge(*groupings) if groupings else None


def _hashes_of_records(hashes: U64, verdict: Verdict, open_rows: Bool) -> U64:
    """The hashes that rows are drawn by: of all parts of a record, that of the first that is open."""
    if verdict.record is None:
        return hashes
    rows = np.flatnonzero(open_rows)
    first = np.full(len(hashes), -1, np.int64)
    first[verdict.record[rows[::-1]]] = rows[::-1]
    drawn_by = np.asarray(hashes).copy()
    drawn_by[rows] = drawn_by[first[verdict.record[rows]]]
    return drawn_by


def repeat(case: Case, verdict: Verdict) -> None:
    """How often each row is written, where a mixture repeats any: those to train on alone. To evaluate the
    same row twice tells nothing."""
    if verdict.copies is None or case.mixture is None:
        return
    often = np.where(verdict.fate == Fate.TRAIN, verdict.copies, verdict.fate <= max(SPLITS))
    verdict.copies = often.astype(np.uint32)
    verdict.first_copy = np.concatenate(([0], np.cumsum(verdict.copies, dtype=np.int64)))
    there = (verdict.fate <= max(SPLITS)) | (verdict.fate == Fate.UNSAMPLED)
    verdict.sections["mixture"] = case.mixture.section(
        source_of_rows(case), there, verdict.copies, case.weighed, verdict.suffice
    )


def shuffle(case: Case, verdict: Verdict) -> None:
    """The place of each row, or of the first of its lines, within its split, where the output is shuffled."""
    if case.config.output.order != "shuffled":
        return
    count = case.facts.rows if verdict.first_copy is None else int(verdict.first_copy[-1])
    rank = verdict.rank = np.full(count, -1, np.int64)
    for fate in SPLITS:
        rows, copies = verdict.copies_of(verdict.fate == fate)
        ranks = _ranks(case, verdict, rows, copies)
        rank[copies] = ranks if verdict.lines is None else _first_lines(ranks, verdict.lines[rows])


def _ranks(case: Case, verdict: Verdict, rows: I64, copies: I64) -> I64:
    """The place of each of some rows when they are shuffled, or of each of their copies, which then do not
    stand together."""
    from forge_gpu.split import order

    seed, budget_bytes = case.config.preprocessing.seed, shares.RANKS.of(case.budget_bytes)
    if verdict.first_copy is None:
        chosen = np.zeros(case.facts.rows, np.bool_)
        chosen[rows] = True
        hashes = case.facts["hashes"]
        return case.decided(partial(order.shuffled_ranks, hashes, chosen, seed, budget_bytes))[rows]
    hashes = np.asarray(case.facts["hashes"])[rows]
    hashes[:, 1] += (copies - verdict.first_copy[rows]).astype(np.uint64)
    every = np.ones(len(rows), np.bool_)
    return case.decided(partial(order.shuffled_ranks, hashes, every, seed, budget_bytes))


def _first_lines(ranks: I64, lines: np.ndarray) -> I64:
    """The place of the first line of each row, where rows become several lines."""
    in_order = np.empty(len(ranks), np.int64)
    in_order[ranks] = lines
    first: I64 = (np.cumsum(in_order) - in_order)[ranks]
    return first
