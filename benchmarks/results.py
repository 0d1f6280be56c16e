"""What was measured: figures as they came, and the few statistics made of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

SCHEMA = 1


@dataclass
class Outcome:
    """One contender at one point. note: why it has no figures, if so. failed: its check, or itself, failed.

    seconds, cpu, peak: one figure a measured run, in the order of the rounds (`rounds` says which).
    figures: what the check found out. stages: seconds a stage, where the contender says.
    """

    contender: str
    note: str = ""
    failed: bool = False
    rounds: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    import_seconds: float = 0.0
    import_peak: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the range of the quartiles (of all runs if fewer than four), as a share of the median."""
        ordered = sorted(self.seconds)
        if len(ordered) < 2:
            return 0.0
        if len(ordered) < 4:
            low, high = ordered[0], ordered[-1]
        else:
            low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return (high - low) / 2 / self.median


@dataclass
class PointResult:
    label: str
    rows: int
    bytes: int
    cores: int
    outcomes: list[Outcome] = field(default_factory=list)

    def outcome(self, contender: str) -> Outcome | None:
        """The contender's figures, None if it has none."""
        return next((o for o in self.outcomes if o.contender == contender and o.seconds), None)


@dataclass
class CaseResult:
    name: str
    about: str
    points: list[PointResult] = field(default_factory=list)


@dataclass
class Results:
    size: str
    started: str
    machine: dict[str, Any]
    cases: list[CaseResult] = field(default_factory=list)
    schema: int = SCHEMA

    @property
    def failures(self) -> list[str]:
        return [
            f"{case.name}{f' ({point.label})' if point.label else ''}: {outcome.contender}: {outcome.note}"
            for case in self.cases
            for point in case.points
            for outcome in point.outcomes
            if outcome.failed
        ]


def ratio(slower: Outcome, faster: Outcome) -> float:
    """How many times longer the first takes: the median over the rounds that both ran, side by side."""
    theirs = dict(zip(faster.rounds, faster.seconds, strict=True))
    pairs = [s / theirs[r] for r, s in zip(slower.rounds, slower.seconds, strict=True) if r in theirs]
    return statistics.median(pairs) if pairs else slower.median / faster.median


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def load(path: Path) -> Results:
    """Read what `save` wrote. Raises ValueError for a file of another schema."""
    held = orjson.loads(path.read_bytes())
    if not isinstance(held, dict) or held.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} holds no benchmark results of schema {SCHEMA}; run 'python -m benchmarks run --json'"
        )
    cases = [
        CaseResult(
            case["name"],
            case["about"],
            [
                PointResult(**{**point, "outcomes": [Outcome(**outcome) for outcome in point["outcomes"]]})
                for point in case["points"]
            ],
        )
        for case in held["cases"]
    ]
    return Results(held["size"], held["started"], held["machine"], cases)
