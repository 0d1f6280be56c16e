"""What got slower between two results, beyond what noise and another day's machine explain.

Both results are brought to one machine by the drift of those who did not change: in each case the median
change of the contenders that are not ours. A change counts when it is over 10%, and over three times the
spread of both measurements.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.report import OURS
from benchmarks.results import Outcome, PointResult, Results

LEAST = 0.10
SPREADS = 3


@dataclass(frozen=True)
class Change:
    """One contender at one point. change: new time over old, after drift. noise: the share that is none."""

    where: str
    contender: str
    old: float
    new: float
    drift: float
    noise: float

    @property
    def change(self) -> float:
        return self.new / self.old / self.drift

    @property
    def verdict(self) -> str:
        if self.change > 1 + self.noise:
            return "slower"
        return "faster" if self.change < 1 / (1 + self.noise) else "same"


def compare(old: Results, new: Results) -> list[Change]:
    """Every contender of every point that both results have, in the new results' order."""
    before = {(case.name, point.label): point for case in old.cases for point in case.points}
    changes: list[Change] = []
    for case in new.cases:
        for point in case.points:
            earlier = before.get((case.name, point.label))
            if earlier is not None and earlier.rows == point.rows:
                changes += _changes(f"{case.name} {point.label}".strip(), earlier, point)
    return changes


def _changes(where: str, old: PointResult, new: PointResult) -> Iterator[Change]:
    pairs: list[tuple[Outcome, Outcome]] = []
    for outcome in new.outcomes:
        earlier = old.outcome(outcome.contender)
        if outcome.seconds and earlier is not None:
            pairs.append((earlier, outcome))
    others = [b.median / a.median for a, b in pairs if not b.contender.startswith(OURS)]
    drift = statistics.median(others) if others else 1.0
    for a, b in pairs:
        noise = max(LEAST, SPREADS * (a.spread**2 + b.spread**2) ** 0.5)
        yield Change(where, b.contender, a.median, b.median, drift, noise)
