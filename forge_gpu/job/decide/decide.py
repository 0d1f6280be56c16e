"""The decisions: what becomes of each row, and which split it goes to. Integers only.

Steps in an order, each a function of the facts of all rows and of what the ones before it decided; it settles
rows that are still open. Arrays live in mapped files once they are larger than the budget allows, and the
deciders work through them in blocks; what they decide depends neither on that nor on who made the index.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware import shares
from forge_gpu.job.decide.candidates import CandidateTexts
from forge_gpu.job.decide.gathered import Gathered
from forge_gpu.job.decide.lengths import lengths
from forge_gpu.job.decide.mixture import Mixture
from forge_gpu.job.decide.packing import packs
from forge_gpu.job.decide.placing import repeat, shuffle, split
from forge_gpu.job.decide.removal import (
    contaminated,
    duplicate,
    near_duplicate,
    rejected,
    unsampled,
    without_parts,
)
from forge_gpu.job.decide.verdict import Case, Verdict
from forge_gpu.job.facts.registry import required_facts
from forge_gpu.job.state.decisions import Decisions

DecisionStep = Callable[[Case, Verdict], None]

RETAINING: tuple[DecisionStep, ...] = (rejected, without_parts, contaminated, duplicate, near_duplicate)
"""What is decided of rows by themselves, and by what is there twice."""
PLACING: tuple[DecisionStep, ...] = (lengths, unsampled, split, repeat, shuffle, packs)
"""What is decided of the rows that are then left: where tokens are counted, that is done before."""
STEPS = (*RETAINING, *PLACING)

OnStep = Callable[[str, int, int], None]
"""Hears which step comes next, as words, and how many of how many are done; it may raise to stop."""


def _ignore(what: str, done: int, total: int) -> None:
    """Nobody asks how far the decisions are."""


def decide(
    folder: Path,
    ranges: Sequence[Path],
    config: Config,
    budget_bytes: int,
    texts: CandidateTexts | None = None,
    mixture: Mixture | None = None,
    files: Sequence[int] = (),
    engine: Engine | None = None,
    on_step: OnStep = _ignore,
    splits: Sequence[str] = (),
    tokens: np.ndarray | None = None,
    steps: Sequence[DecisionStep] = STEPS,
    before: Decisions | None = None,
    threads: int = 1,
) -> Decisions:
    """Every row's fate, from the index files of all ranges in order; the others as in `Case`. steps: that are
    taken; before: what those that came before them decided. Raises ConfigError for a column without values,
    and what `on_step` raises."""
    scratch = folder / "gathered"
    try:
        facts = Gathered(
            scratch,
            ranges,
            config,
            shares.GATHERED.of(budget_bytes),
            lambda done: on_step("reading the index", done, len(ranges)),
        )
        case = Case(
            config, facts, budget_bytes, texts, mixture, files, engine or CpuEngine(), splits, tokens, threads
        )
        verdict = Verdict.none_yet(facts) if before is None else Verdict.taken_up(facts, before)
        for number, step in enumerate(steps):
            on_step(step.__name__.replace("_", " "), number, len(steps))
            step(case, verdict)
        return _decisions(case, verdict)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _decisions(case: Case, verdict: Verdict) -> Decisions:
    clusters = verdict.clusters
    return Decisions(
        fate=verdict.fate,
        duplicate_of=verdict.duplicate_of,
        rank=verdict.rank,
        lines=verdict.lines,
        places=verdict.places,
        first_copy=verdict.first_copy,
        record=verdict.record,
        cluster=None if clusters is None else np.where(clusters.partner >= 0, clusters.label, -1),
        partner=None if clusters is None else clusters.partner,
        similarity=None if clusters is None else clusters.similarity,
        facts={
            fact.name: case.facts[fact.name]
            for fact in required_facts(case.config)
            if fact.columns is not None
        }
        | ({} if verdict.reason is None else {"reason": verdict.reason}),
        sections=verdict.sections,
        warnings=verdict.warnings,
    )
