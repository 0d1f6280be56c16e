"""The steps that leave rows out: each sees the rows that the ones before it left open."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Near
from forge_gpu.dedup.exact import duplicates
from forge_gpu.errors import ConfigError
from forge_gpu.fates import Fate
from forge_gpu.hardware import shares
from forge_gpu.job.decide.gathered import Gathered
from forge_gpu.job.decide.mixture import strata
from forge_gpu.job.decide.verdict import Bool, Case, Verdict
from forge_gpu.job.rows.expansions import fates_without_parts
from forge_gpu.job.rows.near import KEY, settings_of
from forge_gpu.job.rows.rows import ranking_column
from forge_gpu.job.state.index import F64, PART, ROW
from forge_gpu.kernels.layout import I64

if TYPE_CHECKING:
    from forge_gpu.dedup.clusters import Clusters


def rejected(case: Case, verdict: Verdict) -> None:
    """Rows with a reason."""
    verdict.settle(case.facts["reason"] != 0, Fate.REJECTED)


def without_parts(case: Case, verdict: Verdict) -> None:
    """Rows of which an expansion left nothing."""
    part = case.facts.get(PART)
    for number, fate in fates_without_parts(case.config).items() if part is not None else ():
        verdict.settle(np.asarray(part) == number, fate)


def contaminated(case: Case, verdict: Verdict) -> None:
    """Rows that match an evaluation row."""
    matched = case.facts.get("matched")
    if matched is not None:
        verdict.settle(matched[ROW], Fate.CONTAMINATED)


def duplicate(case: Case, verdict: Verdict) -> None:
    """Rows whose key an earlier open row has."""
    if not case.config.preprocessing.dedup.exact:
        return
    hashes, open_rows = case.facts["hashes"], verdict.open_rows
    budget_bytes = shares.DECIDER.of(case.budget_bytes)
    duplicates(hashes, open_rows, budget_bytes, case.engine.first_occurrence, verdict.duplicate_of)
    verdict.settle(verdict.duplicate_of >= 0, Fate.DUPLICATE)


def near_duplicate(case: Case, verdict: Verdict) -> None:
    """Rows of a cluster but the one that stays, where the plan removes them; else the clusters alone."""
    preprocessing = case.config.preprocessing
    near = preprocessing.dedup.near
    if near is None:
        return
    from forge_gpu.dedup.near import survivors
    from forge_gpu.job.decide.clusters import section

    open_rows = verdict.open_rows
    clusters = verdict.clusters = _clusters(case, open_rows, near)
    settings = settings_of(near, preprocessing.seed)
    verdict.sections["near_duplicates"] = section(settings, clusters)
    if near.action == "remove":
        survivor = survivors(clusters.label, open_rows, _score(case.facts, open_rows, near))
        removed = np.flatnonzero(survivor >= 0)
        verdict.duplicate_of[removed] = survivor[removed]
        verdict.settle(removed, Fate.NEAR_DUPLICATE)


def _clusters(case: Case, open_rows: Bool, near: Near) -> Clusters:
    from forge_gpu.job.decide.clusters import find_clusters

    assert case.texts is not None
    facts, text_bytes = case.facts, case.facts["text_bytes"]
    settings = settings_of(near, case.config.preprocessing.seed)
    try:
        case.texts.begin(facts.starts, text_bytes)
        filled = open_rows & (text_bytes > 0)
        return find_clusters(
            settings,
            facts.ranges,
            filled,
            text_bytes,
            case.texts,
            shares.DECIDER.of(case.budget_bytes),
            case.threads,
            case.engine,
        )
    finally:
        case.texts.close()


def _score(facts: Gathered, open_rows: Bool, near: Near) -> I64 | F64 | None:
    """By what one row of a cluster stays; None: the first."""
    if near.keep == "first":
        return None
    if ranking_column(near) is None:
        return facts["text_bytes"]
    score = facts["score"]
    if open_rows.any() and np.isnan(score[open_rows]).all():
        raise ConfigError(
            f"{KEY}.keep: no row has a number in the column {near.keep!r}; choose another column"
        )
    return score


def unsampled(case: Case, verdict: Verdict) -> None:
    """Rows that the mixture of the sources has no use for; the others are split source by source."""
    if case.mixture is None:
        return
    mixture, hashes = case.mixture, case.facts["hashes"]
    source, trained = source_of_rows(case), case.weighed
    seed, open_rows = case.config.preprocessing.seed, verdict.open_rows
    budget_bytes = shares.DECIDER.of(case.budget_bytes)
    sampled = case.decided(partial(mixture.sample, source, hashes, open_rows, seed, budget_bytes, trained))
    used, verdict.copies, verdict.suffice = sampled.used, sampled.copies, sampled.suffice
    if verdict.copies is None:
        verdict.sections["mixture"] = case.mixture.section(
            source, open_rows, used.astype(np.uint32), trained, verdict.suffice
        )
    verdict.settle(open_rows & ~used, Fate.UNSAMPLED)
    verdict.stratum = strata(source, verdict.stratum)


def source_of_rows(case: Case) -> npt.NDArray[np.uint32]:
    """The number of the source of each row: uint32[n]."""
    assert case.mixture is not None
    sources = np.array([case.mixture.source[file] for file in case.files], np.uint32)
    return np.repeat(sources, np.diff(case.facts.starts))
