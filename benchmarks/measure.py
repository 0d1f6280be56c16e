"""Running a case: everybody ready, everybody warm, then round after round, taking turns at going first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.case import Case, CheckFailed, Point
from benchmarks.contenders import Contender, ContenderError, Missing, Process, can_do
from benchmarks.inputs import Inputs
from benchmarks.results import CaseResult, Outcome, PointResult

Report = Callable[[str], None]


SHORT = 10.0
"""Seconds of a run that is made twice where it writes: a virtual machine takes back memory that is idle, and
to have it again is a large part of a short run."""


@dataclass(frozen=True)
class Ready:
    """A contender that takes part, and the folder it writes into."""

    outcome: Outcome
    process: Process
    folder: Path
    twice: bool = False  # each measured run comes right after one that is not


def run_case(case: Case, inputs: Inputs, report: Report, only: frozenset[str] | None = None) -> CaseResult:
    """Measure a case at all its points; `only` names the contenders to run, all if None."""
    result = CaseResult(case.name, case.about)
    for point in case.points(inputs):
        result.points.append(_run_point(case, point, report, only))
    return result


def cores(count: int) -> list[int]:
    """The cores to hold contenders to: the last ones allowed, since the first serve interrupts."""
    allowed = (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1))
    )
    return allowed[-count:]


def _run_point(case: Case, point: Point, report: Report, only: frozenset[str] | None) -> PointResult:
    result = PointResult(point.label, point.rows, point.input.stat().st_size, point.cores)
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-", dir=_outputs(case)))
    try:
        with ExitStack() as stack:
            running: list[Ready] = []
            for number, contender in enumerate(case.cast):
                if only is not None and contender.name not in only:
                    continue
                outcome = Outcome(contender.name)
                result.outcomes.append(outcome)
                process = _enter(case, point, contender, outcome, folder / str(number), stack)
                if process is not None:
                    running.append(Ready(outcome, process, folder / str(number)))
            warm = _warm_up(case, point, running, report)
            _rounds(case, warm, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _outputs(case: Case) -> str | None:
    """Where contenders write: into memory, where nobody waits for a disk, or into the system's folder."""
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") and not case.on_disk else None
    return os.environ.get("BENCHMARKS_FOLDER", in_memory)


def _enter(
    case: Case, point: Point, contender: Contender, outcome: Outcome, folder: Path, stack: ExitStack
) -> Process | None:
    """The contender's process, ready for the task; None, and why, if it cannot take part."""
    if not can_do(contender, case.task):
        outcome.note = "cannot do this step"
        return None
    try:
        process = stack.enter_context(Process(contender, cores(point.cores)))
        outcome.import_seconds, outcome.import_peak = (
            process.hello["import_seconds"],
            process.hello["import_peak"],
        )
        outcome.versions = process.hello["versions"]
        arguments: dict[str, Any] = {"input": str(point.input), **point.arguments, **contender.arguments}
        if case.writes:
            arguments["folder"] = str(folder)
        process.prepare(case.task, arguments)
        return process
    except Missing as problem:
        outcome.note, outcome.failed = f"not installed ({problem})", not contender.peer
    except ContenderError as problem:
        outcome.note, outcome.failed = str(problem), True
    return None


def _warm_up(case: Case, point: Point, running: list[Ready], report: Report) -> list[Ready]:
    """One run of each, whose output is checked; those that passed."""
    warm = []
    for ready in running:
        outcome, process, folder = ready.outcome, ready.process, ready.folder
        report(f"{case.name} {point.label}: {outcome.contender}: warm-up")
        try:
            first = process.run()
            if not process.contender.floor:
                outcome.figures = case.check(first["result"], point, folder)
            outcome.stages = _stages(first["result"])
        except (ContenderError, CheckFailed, OSError, ValueError, KeyError, TypeError) as problem:
            outcome.note, outcome.failed = f"{problem or type(problem).__name__}", True
            continue
        warm.append(replace(ready, twice=case.writes and float(first["seconds"]) < SHORT))
    return warm


def _rounds(case: Case, warm: list[Ready], report: Report) -> None:
    for number in range(case.rounds):
        turn = number % max(len(warm), 1)
        for ready in warm[turn:] + warm[:turn]:
            outcome = ready.outcome
            spent = sum(outcome.seconds) * (1 + ready.twice)
            if outcome.failed or (number and spent + spent / number > case.budget):
                continue
            report(f"{case.name}: {outcome.contender}: round {number + 1} of {case.rounds}")
            try:
                if ready.twice:
                    ready.process.run()
                if ready.folder.is_dir():  # into an empty one, as users do
                    shutil.rmtree(ready.folder)
                    ready.folder.mkdir()
                os.sync()  # so that nobody waits for the disk to take what another has written
                sample = ready.process.run()
            except ContenderError as problem:
                outcome.note, outcome.failed = str(problem), True
                continue
            outcome.rounds.append(number)
            outcome.seconds.append(sample["seconds"])
            outcome.cpu.append(sample["cpu"])
            outcome.peak.append(sample["peak"])
            outcome.stages = _stages(sample["result"]) or outcome.stages


def _stages(result: Any) -> dict[str, float]:
    """Seconds a stage, where a result tells them."""
    stages = result.get("stages") if isinstance(result, dict) else None
    return {str(name): float(seconds) for name, seconds in stages.items()} if stages else {}
