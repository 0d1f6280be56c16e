"""The ratios that must hold, and whether they do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.results import Results, ratio

FILE = Path(__file__).parent / "gates.yaml"


@dataclass(frozen=True)
class Gate:
    """`against` must take at least `at_least` times as long as `ours` in the case, at each of its points.

    (A floor is a contender too: ours <= 2 x floor is at_least 0.5.)
    """

    case: str
    ours: str
    against: str
    at_least: float


@dataclass(frozen=True)
class Held:
    """A gate at a point. reached: None where there are no figures to tell, which fells the gate as well."""

    gate: Gate
    label: str
    reached: float | None
    why: str = ""

    @property
    def holds(self) -> bool:
        return self.reached is not None and self.reached >= self.gate.at_least

    def __str__(self) -> str:
        gate = self.gate
        result = self.why if self.reached is None else f"{self.reached:.2f}×"
        place = f"{gate.case} ({self.label})" if self.label else gate.case
        return f"{place}: {gate.against} / {gate.ours}: {result}, wanted ≥ {gate.at_least:g}×"


def load(path: Path = FILE) -> list[Gate]:
    """The gates of a file. Raises TypeError or KeyError for a file of another form."""
    held = YAML(typ="safe").load(path)
    return [Gate(**gate) for gate in held["gates"]]


def judge(gates: list[Gate], results: Results) -> list[Held]:
    """Every gate at every point of its case; a case or contender that has no figures fells its gate."""
    cases = {case.name: case for case in results.cases}
    verdicts: list[Held] = []
    for gate in gates:
        points = cases[gate.case].points if gate.case in cases else []
        if not points:
            verdicts.append(Held(gate, "", None, "the case was not run"))
        for point in points:
            ours, against = point.outcome(gate.ours), point.outcome(gate.against)
            if ours is None or against is None:
                absent = gate.ours if ours is None else gate.against
                notes = [o.note for o in point.outcomes if o.contender == absent]
                verdicts.append(
                    Held(
                        gate,
                        point.label,
                        None,
                        f"no figures of {absent}: {notes[0] if notes else 'no such contender'}",
                    )
                )
            else:
                verdicts.append(Held(gate, point.label, ratio(against, ours)))
    return verdicts
