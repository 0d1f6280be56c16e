"""What was tuned, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff

from forge_gpu.tuning.run import Tuning
from forge_gpu.tuning.trade import Candidate, Trade

CHOSEN, ON_FRONT, BEATEN = ">", "*", " "
LEGEND = "> is chosen, * is beaten by none in every measure"


def describe(tuning: Tuning) -> list[tuple[str, list[str]]]:
    """(title, lines) of each section; without the diff."""
    sections = [(trade.name, list(_table(trade))) for trade in tuning.trades]
    if tuning.passed_over:
        sections.append(("Passed over", [f"{name}: {why}" for name, why in tuning.passed_over.items()]))
    return sections


def diff(before: str, after: str, name: str) -> list[str]:
    """The lines that differ between two texts of a plan, as patches have them; the lines around."""
    lines = unified_diff(before.splitlines(), after.splitlines(), name, f"{name}, tuned", lineterm="", n=1)
    return list(lines)


def _table(trade: Trade) -> Iterator[str]:
    """The candidates, a line each, with one head."""
    first = trade.candidates[0]
    names = [*_named(first), *first.measures]
    rows = [[*_named(each).values(), *map(_number, each.measures.values())] for each in trade.candidates]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    yield "  " + "  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True))
    for number, (row, on_front) in enumerate(zip(rows, trade.front, strict=True)):
        mark = CHOSEN if number == trade.chosen else ON_FRONT if on_front else BEATEN
        yield f"{mark} " + "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
    yield LEGEND
    yield f"chosen: {trade.why}"
    if trade.by_seconds:
        yield "measured by seconds: another time it may be another"


def _named(candidate: Candidate) -> dict[str, str]:
    """The settings that are no measure themselves, by the last word of their key."""
    of_measures = set(candidate.measures.values())
    return {
        key.rsplit(".", 1)[-1]: str(value)
        for key, value in candidate.settings.items()
        if isinstance(value, list | str) or value not in of_measures
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or (value == int(value) and value > 1) else f"{value:.4f}"
