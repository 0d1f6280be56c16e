"""An estimate in lines for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from forge_gpu.foretell.interval import Interval, total
from forge_gpu.foretell.predict import DUPLICATES, Estimate
from forge_gpu.io.disk import size_text

Text = Callable[[float], str]
SHOWN_STAGE = 0.01
"""Of all seconds: stages of less are shown together."""


def describe(made: Estimate) -> list[tuple[str, list[str]]]:
    """(title, lines) of each section."""
    sections = [
        ("Estimate", [*_whole(made), _look(made)]),
        ("Seconds of each stage", list(_stages(made))),
        ("Seconds on processes of a cluster", [_workers(made)]),
        ("Rows", list(_rows(made))),
        ("Tokens", list(_tokens(made))),
        ("Notes", list(made.notes)),
        ("It will not fit", list(made.refusals)),
    ]
    return [(title, lines) for title, lines in sections if lines]


def short(made: Estimate) -> list[str]:
    """What a plan says at its end."""
    return [*_whole(made), *_tokens(made), _duplicates(made), _look(made), *made.refusals]


def _whole(made: Estimate) -> Iterator[str]:
    threads = f"{made.threads} thread{'s' if made.threads > 1 else ''}"
    yield f"time: {_text(made.seconds, _seconds)} with {threads} ({made.engine_reason})"
    yield f"memory: {_text(made.memory, _bytes)} at most"
    yield (
        f"disk: {_text(made.disk['outputs'], _bytes)} of output, and {_text(made.disk['work'], _bytes)} of "
        "index and spool while it runs"
    )
    if made.vram is not None:
        yield f"GPU memory: {_text(made.vram, _bytes)}"
    written = made.rows["train"] + made.rows["validation"] + made.rows["test"]
    yield f"rows: {_text(written, _count)} of {_text(made.rows['all'], _count)} will be written"


def _look(made: Estimate) -> str:
    look = made.sampled
    return (
        f"looked at {look['share']:.2%} of the input ({_bytes(look['bytes'])}, {_count(look['rows'])} rows) "
        f"in {look['seconds']:.1f} s"
    )


def _stages(made: Estimate) -> Iterator[str]:
    rest = Interval.exact(0.0)
    for stage, seconds in made.stages.items():
        if seconds.value < SHOWN_STAGE * made.seconds.value:
            rest += seconds
        else:
            yield f"{stage}: {_text(seconds, _seconds)}"
    if rest.value:
        yield f"all others: {_text(rest, _seconds)}"
    yield f"of processors: {_text(total(list(made.cpu.values())), _seconds)}"


def _workers(made: Estimate) -> str:
    return ", ".join(f"{number}: {_seconds(seconds)}" for number, seconds in made.workers.items())


def _rows(made: Estimate) -> Iterator[str]:
    for fate, rows in made.rows.items():
        if rows.value and fate not in ("all", *DUPLICATES):
            yield f"{fate.replace('_', ' ')}: {_text(rows, _count)}"
    yield _duplicates(made)


def _duplicates(made: Estimate) -> str:
    bounds = made.duplicates
    if made.duplicates_known:
        return f"duplicates: {_count(bounds.value)}, as the last run of this data told"
    if bounds.low == bounds.high:
        return f"duplicates: {_count(bounds.value)}"
    low, high = _count(bounds.low), _count(bounds.high)
    return f"duplicates: at least {low}, at most {high}; a part of the rows does not tell more"


def _tokens(made: Estimate) -> Iterator[str]:
    if made.tokens is None:
        return
    tokens = made.tokens
    trained = _text(tokens["trained"], _count)
    yield f"tokens: {_text(tokens['tokens'], _count)}, of which {trained} are trained"
    if tokens["cut"].value:
        yield f"cut off: {_text(tokens['cut'], _count)} tokens"
    if made.packs is not None:
        yield f"packs: {_text(made.packs['packs'], _count)}, {made.packs['fill'].value:.1%} full"
    about = "" if made.sampled["share"] == 1 else "about "  # of each input the same share was looked at
    for path, repeats in made.repeats.items():
        yield (
            f"{path} has too little for its share; with data.repeats {about}{repeats:,} of it no row of the "
            "other inputs would be left out"
        )


def _text(number: Interval, text: Text) -> str:
    low, value, high = text(number.low), text(number.value), text(number.high)
    return value if low == high else f"{value} ({low} to {high})"


def _seconds(value: float) -> str:
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def _bytes(value: float) -> str:
    return size_text(int(value))


def _count(value: float) -> str:
    return f"{value:,.0f}"
