"""Results for people: the same tables on a terminal and on a Markdown page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import CaseResult, Outcome, PointResult, Results, ratio

HERE = Path(__file__).parent
OURS = "forge"
"""Name of the contender that others are held against; variants of it are "forge, ..."."""

WIDTH = 120
"""Characters of a line of prose."""

OVER_VERSIONS = (
    "How many times as long as Forge others took, in each version's own run of this page. Below 1× they were "
    "faster. Figures are those of `benchmarks/versions/`. Processors differ: "
    "those since 0.6.0 have no AVX-512."
    "\n\n![Over versions](pictures/speed.svg)"
)

HEAD = ("who", "seconds", "±", "times forge", "CPU s", "MB/s", "peak MB", "")


def lines(point: PointResult) -> Iterator[tuple[str, ...]]:
    """The rows of a point's table, in HEAD's order: fastest first, then those without figures."""
    ours = point.outcome(OURS)
    measured = sorted((o for o in point.outcomes if o.seconds), key=lambda o: o.median)
    for outcome in measured:
        times = f"{ratio(outcome, ours):.2f}" if ours is not None and outcome is not ours else ""
        yield (
            outcome.contender,
            _seconds(outcome.median),
            f"{outcome.spread:.0%}",
            times,
            _seconds(sorted(outcome.cpu)[len(outcome.cpu) // 2]),
            f"{point.bytes / 1e6 / outcome.median:,.0f}",
            f"{max(outcome.peak) / 1e6:,.0f}",
            _remarks(outcome),
        )
    for outcome in point.outcomes:
        if not outcome.seconds:
            yield (
                outcome.contender,
                "–",
                "",
                "",
                "",
                "",
                "",
                ("FAILED: " if outcome.failed else "") + outcome.note,
            )


def winners(point: PointResult) -> list[str]:
    """Peers that were faster than us here; floors are no peers."""
    ours = point.outcome(OURS)
    if ours is None:
        return []
    return [
        f"{o.contender} ({1 / ratio(o, ours):.2f}×)"
        for o in point.outcomes
        if o.seconds and not o.contender.startswith((OURS, "floor")) and ratio(o, ours) < 1
    ]


def show(result: CaseResult, console: Console) -> None:
    for point in result.points:
        table = Table(*HEAD, title=f"{result.name}: {result.about}\n{_input(point)}", title_justify="left")
        for row in lines(point):
            table.add_row(*row)
        console.print(table)
        for outcome in point.outcomes:
            if outcome.stages:
                console.print(f"  {outcome.contender}: " + _stages(outcome))


def page(results: Results) -> str:
    """The Markdown page."""
    parts = [
        "# Performance",
        "This page is written by `python -m benchmarks run --page docs/performance.md`. Do not edit it.",
        _measured(results),
        "## How to read it",
        (HERE / "how_to_read.md").read_text().strip(),
    ]
    parts += ["## What was wanted", (HERE / "goals.md").read_text().strip()]
    for case in results.cases:
        parts += list(_case(case))
    parts += ["## Over versions", OVER_VERSIONS]
    parts += ["## Containers", (HERE / "containers.md").read_text().strip()]
    parts += ["## Imports and versions", *_imports(results)]
    return "\n\n".join(_wrapped(part) for part in parts) + "\n"


def _wrapped(part: str) -> str:
    """Prose in lines of a width that can be read; tables as they are."""
    wrapped: list[str] = []
    for line in part.split("\n"):
        if line.startswith("|"):
            wrapped.append(line)
        else:
            wrapped += textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(wrapped)


def _measured(results: Results) -> str:
    machine = results.machine
    commit = machine["commit"] or "unknown"
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory"
    if machine["memory_limit_bytes"]:
        memory += f" (limited to {machine['memory_limit_bytes'] / 2**30:.0f})"
    return (
        f"Measured {results.started[:10]} at commit `{commit}`, size `{results.size}`, on "
        f"{machine['processor']}, {machine['cores_allowed']} cores allowed, {memory}, "
        f"{machine['system']}, Python {machine['python']}, GPU: {machine['gpu'] or 'none'}. "
        f"Load (1 minute) {machine['load_before']} before, {machine.get('load_after', '?')} after."
    )


def _case(case: CaseResult) -> Iterator[str]:
    yield f"## {case.name}"
    yield case.about
    for point in case.points:
        yield _input(point)
        rows = [HEAD, ("---",) + ("---:",) * 6 + ("---",), *lines(point)]
        yield "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        faster = winners(point)
        if faster:
            yield f"Faster than Forge here: {', '.join(faster)}."
        for outcome in point.outcomes:
            if outcome.stages:
                yield f"Stages of {outcome.contender}: {_stages(outcome)}."


def _imports(results: Results) -> Iterator[str]:
    seen: dict[str, Outcome] = {}
    for case in results.cases:
        for point in case.points:
            for outcome in point.outcomes:
                if outcome.versions:
                    seen.setdefault(
                        ", ".join(f"{k} {v}" for k, v in sorted(outcome.versions.items())), outcome
                    )
    rows = ["| versions | import seconds | resident MB after it |", "| --- | ---: | ---: |"]
    rows += [f"| {v} | {_seconds(o.import_seconds)} | {o.import_peak / 1e6:.0f} |" for v, o in seen.items()]
    yield "\n".join(rows)


def _input(point: PointResult) -> str:
    label = f"**{point.label}**: " if point.label else ""
    cores = "1 core" if point.cores == 1 else f"{point.cores} cores"
    return f"{label}{point.rows:,} rows, {point.bytes / 1e6:,.1f} MB, {cores}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.3f}" if seconds < 10 else f"{seconds:.1f}"


def _remarks(outcome: Outcome) -> str:
    remarks = [
        f"{name} {value:.3f}" for name, value in outcome.figures.items() if name in ("recall", "precision")
    ]
    if len(outcome.seconds) < 3:
        remarks.append(f"{len(outcome.seconds)} run{'s' * (len(outcome.seconds) > 1)}")
    return ", ".join(remarks)


def _stages(outcome: Outcome) -> str:
    return ", ".join(f"{name} {_seconds(seconds)} s" for name, seconds in outcome.stages.items())


def write_page(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results))
