"""A row of the day's table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """verdict: ok, FAILED, or not run."""

    section: str
    what: str
    figure: str
    verdict: str = "ok"


def held(good: bool) -> str:
    return "ok" if good else "FAILED"
