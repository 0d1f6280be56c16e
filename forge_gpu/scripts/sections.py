"""A trial of a transform script in lines for people: counts, and rows before and after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from forge_gpu.sandbox.layers import describe, read_layers
from forge_gpu.scripts.trial import Outcome, Row, Trial

Section = tuple[str, list[str]]
SHOWN = ("changed", "made several", "dropped", "rejected")
MAX_LINE = 200


def about_trial(trial: Trial, examples: int) -> Iterator[Section]:
    """examples: rows to show of each kind of outcome."""
    if trial.faults:
        yield "Faults", list(trial.faults)
    if not trial.outcomes:
        return
    rows, made = len(trial.outcomes), sum(len(o.made) for o in trial.outcomes if isinstance(o.made, list))
    counts = [f"{kind}: {number}" for kind, number in trial.counts.most_common()]
    yield "Trial", [f"{rows} rows became {made}", *counts, f"sha256 {trial.script.sha256}"]
    for kind in SHOWN:
        chosen = [outcome for outcome in trial.outcomes if outcome.kind == kind][:examples]
        if chosen:
            yield kind.capitalize(), [line for outcome in chosen for line in before_and_after(outcome)]
    yield "Walls", describe(read_layers())


def before_and_after(outcome: Outcome) -> Iterator[str]:
    """The row and what came of it; of a row that was changed, the values that are others."""
    if isinstance(outcome.made, str):
        yield f"before  {_line(outcome.row)}"
        yield f"reason  {outcome.made}"
    elif len(outcome.made) == 1:
        before, after = _differing(outcome.row, outcome.made[0])
        yield f"before  {_line(before)}"
        yield f"after   {_line(after)}"
    else:
        yield f"before  {_line(outcome.row)}"
        yield from (f"after   {_line(row)}" for row in outcome.made)
        if not outcome.made:
            yield "became nothing"


def _differing(before: Row, after: Row) -> tuple[Row, Row]:
    def others(one: Row, other: Row) -> Row:
        return {key: value for key, value in one.items() if key not in other or other[key] != value}

    return others(before, after), others(after, before)


def _line(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= MAX_LINE else text[:MAX_LINE] + "…"
