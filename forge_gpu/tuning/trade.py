"""What there is to choose between, and which of it nothing else beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from forge_gpu.plain import frozen

Goal = Literal["most", "least"]
Settings = dict[str, Any]


@frozen
class Candidate:
    """settings: dotted keys of a plan -> values. measures: what came of them, by name."""

    settings: Settings
    measures: dict[str, float]


@frozen
class Trade:
    """One question and its answers. goals: of each measure that counts, which end of it is better. chosen:
    the place of one in `candidates`. by_seconds: whether time was measured, which no seed repeats."""

    name: str
    goals: dict[str, Goal]
    candidates: Sequence[Candidate]
    chosen: int
    why: str
    by_seconds: bool = False

    @property
    def choice(self) -> Candidate:
        """The candidate that was chosen."""
        return self.candidates[self.chosen]

    @property
    def front(self) -> list[bool]:
        """Of each candidate whether no other is as good in every measure and better in one (Pareto)."""
        points = [self._point(candidate) for candidate in self.candidates]
        return [not any(_beats(other, point) for other in points) for point in points]

    def _point(self, candidate: Candidate) -> list[float]:
        """Its measures, so that more is worse."""
        return [
            candidate.measures[name] * (1 if goal == "least" else -1) for name, goal in self.goals.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """As values of JSON."""
        rows = [
            {
                "settings": candidate.settings,
                "measures": candidate.measures,
                "on_front": on_front,
                "chosen": number == self.chosen,
            }
            for number, (candidate, on_front) in enumerate(zip(self.candidates, self.front, strict=True))
        ]
        return {
            "name": self.name,
            "goals": self.goals,
            "why": self.why,
            "by_seconds": self.by_seconds,
            "candidates": rows,
        }


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(ours <= theirs for ours, theirs in zip(one, other, strict=True))


@frozen
class Wishes:
    """What the user wants of the choices. coverage: the share of rows that `max_length` leaves whole.
    same: of the words of a text those that may differ in a copy of it. tokens: that a mixture is to have.
    seconds: to spend on what is measured by seconds."""

    coverage: float = 0.99
    same: float = 0.1
    tokens: int | None = None
    seconds: float = 10.0
