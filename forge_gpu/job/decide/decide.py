"""The decisions: what becomes of each row, and which split it goes to. Integers only.

In this order: rejected, contaminated, duplicate, near-duplicate, left out of the mixture, then a split; each
step sees the rows that the ones before it left. Arrays live in mapped files once they are larger than the
budget allows, and the deciders work through them in parts; what they decide depends neither on that nor on
who made the index.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config, Near
from forge_gpu.dedup.exact import FirstOccurrence, duplicates
from forge_gpu.dedup.near import Clusters, survivors
from forge_gpu.errors import ConfigError
from forge_gpu.fates import Fate
from forge_gpu.hardware import shares
from forge_gpu.job.decide import clusters as near_duplicates
from forge_gpu.job.decide.candidates import CandidateTexts
from forge_gpu.job.decide.gathered import Gathered
from forge_gpu.job.decide.mixture import Mixture, strata
from forge_gpu.job.rows.near import KEY, settings_of
from forge_gpu.job.rows.rows import kept_by
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.index import F64
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.split import exact, groups, order, temporal, threshold
from forge_gpu.split.fractions import Splits

Bool = npt.NDArray[np.bool_]


def decide(
    folder: Path,
    ranges: Sequence[Path],
    config: Config,
    budget_bytes: int,
    texts: CandidateTexts | None = None,
    mixture: Mixture | None = None,
    files: Sequence[int] = (),
    first_occurrence: FirstOccurrence | None = None,
) -> Decisions:
    """Every row's fate, from the index files of all ranges in order. texts: of rows that may be
    near-duplicates, where the plan looks for them. mixture: of the sources; files: the file of each range,
    by which it tells them. first_occurrence: of the engine that finds duplicates, None for the CPU's. Raises
    ConfigError for a column without values."""
    scratch = folder / "gathered"
    try:
        decider = shares.DECIDER.of(budget_bytes)
        sources = None if mixture is None else [mixture.source[file] for file in files]
        rows = Gathered(scratch, ranges, config, shares.GATHERED.of(budget_bytes), sources)
        settings = config.preprocessing
        facts: dict[str, Any] = {}
        live = rows.reason == 0
        live[rows.matched[:, 0]] = False
        if settings.dedup.exact:
            duplicate_of = duplicates(rows.hashes, live, decider, first_occurrence)
            live &= duplicate_of < 0
        else:
            duplicate_of = np.full(rows.rows, -1, np.int64)
        near, clusters = settings.dedup.near, None
        removed: I64 = np.zeros(0, np.int64)
        if near is not None:
            assert texts is not None
            clusters = _clusters(rows, ranges, live, near, settings.seed, texts, decider)
            facts["near_duplicates"] = near_duplicates.facts(settings_of(near, settings.seed), clusters)
            if near.action == "remove":
                survivor = survivors(clusters.label, live, _score(rows, live, near))
                removed = np.flatnonzero(survivor >= 0)
                duplicate_of[removed] = survivor[removed]
                live[removed] = False
        unsampled = np.zeros(0, np.bool_)
        if mixture is not None and rows.source is not None:
            used, facts["mixture"] = mixture.sample(rows.source, rows.hashes, live, settings.seed, decider)
            unsampled = live & ~used
            live &= used
            rows.stratum = strata(rows.source, rows.stratum)
        fate, warnings = _split(rows, live, clusters, config, decider, facts)
        fate[rows.reason != 0] = Fate.REJECTED
        fate[duplicate_of >= 0] = Fate.DUPLICATE
        fate[removed] = Fate.NEAR_DUPLICATE
        fate[np.flatnonzero(unsampled)] = Fate.UNSAMPLED
        fate[rows.matched[:, 0]] = Fate.CONTAMINATED
        return Decisions(
            fate=fate,
            duplicate_of=duplicate_of,
            reason=rows.reason.copy(),
            rank=_ranks(rows, fate, config, shares.RANKS.of(budget_bytes)),
            cluster=None if clusters is None else np.where(clusters.partner >= 0, clusters.label, -1),
            partner=None if clusters is None else clusters.partner,
            similarity=None if clusters is None else clusters.similarity,
            matched=rows.matched if config.data.against else None,
            matched_similarity=rows.similarity if config.data.against else None,
            facts=facts,
            warnings=warnings,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _clusters(
    rows: Gathered,
    ranges: Sequence[Path],
    live: Bool,
    near: Near,
    seed: int,
    texts: CandidateTexts,
    budget_bytes: int,
) -> Clusters:
    assert rows.text_bytes is not None
    try:
        texts.begin(rows.starts, rows.text_bytes)
        filled = live & (rows.text_bytes > 0)
        settings = settings_of(near, seed)
        return near_duplicates.find_clusters(settings, ranges, filled, rows.text_bytes, texts, budget_bytes)
    finally:
        texts.close()


def _score(rows: Gathered, live: Bool, near: Near) -> I64 | F64 | None:
    """By what one row of a cluster is kept; None: the first."""
    if near.keep == "first":
        return None
    if kept_by(near) is None:
        return rows.text_bytes
    assert rows.score is not None
    if live.any() and np.isnan(rows.score[live]).all():
        raise ConfigError(
            f"{KEY}.keep: no row has a number in the column {near.keep!r}; choose another column"
        )
    return rows.score


def _split(
    rows: Gathered,
    live: Bool,
    clusters: Clusters | None,
    config: Config,
    budget_bytes: int,
    facts: dict[str, Any],
) -> tuple[U8, tuple[str, ...]]:
    """The split of each live row, and lines about sizes that could not be met."""
    settings = config.preprocessing
    sizes = Splits(settings.train_split, settings.validation_split, settings.test_split)
    if settings.split.mode == "temporal":
        assert rows.time is not None
        return temporal.assign(rows.time, live, sizes), ()
    if settings.split.mode == "threshold":
        return threshold.assign(rows.hashes, live, sizes, settings.seed), ()
    group = _groups(rows, live, clusters, config)
    if group is None:
        return exact.assign(rows.stratum, rows.hashes, live, sizes, settings.seed, budget_bytes), ()
    made = groups.assign(group, rows.stratum, rows.hashes, live, sizes, settings.seed, budget_bytes)
    size = np.bincount(group[live], minlength=1)
    facts["groups"] = {
        "groups_of_several_rows": int(np.count_nonzero(size > 1)),
        "rows_in_them": int(size[size > 1].sum()),
        "largest": int(size.max()),
        "reasons": list(made.reasons),
    }
    return made.fates, made.reasons


def _groups(rows: Gathered, live: Bool, clusters: Clusters | None, config: Config) -> I64 | None:
    """The group of each row as its smallest live row; None where the plan keeps no groups whole."""
    settings = config.preprocessing
    found: list[I64] = []
    if rows.group is not None:
        present = live & (rows.group != 0)
        if live.any() and not present.any():
            raise ConfigError(
                f"preprocessing.split.group: no row has a value in the column {settings.split.group!r}; "
                "choose another column"
            )
        found.append(groups.groups_of(rows.group, present))
    if clusters is not None and settings.dedup.near is not None and settings.dedup.near.action == "group":
        found.append(clusters.label)
    return groups.merge(*found) if found else None


def _ranks(rows: Gathered, fate: U8, config: Config, budget_bytes: int) -> I64 | None:
    """The place of each row within its split, where the output is shuffled."""
    if config.output.order != "shuffled":
        return None
    rank = np.full(rows.rows, -1, np.int64)
    for split in SPLITS:
        chosen = fate == split
        ranks = order.shuffled_ranks(rows.hashes, chosen, config.preprocessing.seed, budget_bytes)
        rank[chosen] = ranks[chosen]
    return rank
