"""What was foretold of a job beside what it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from forge_gpu.io.disk import size_text

FAR = 0.3
"""Of what was foretold: a run that was off by more says so."""

NOT_TOLD = {
    "seconds": 3.0,
    "peak_memory": 64 * 2**20,
    "output_bytes": 2**20,
    "rows": 100,
    "tokens": 1000,
}  # fmt: skip
"""Differences of no more are nobody's concern."""

WORDS: dict[str, tuple[str, Callable[[float], str]]] = {
    "seconds": ("it took", lambda value: f"{value:.1f} s"),
    "peak_memory": ("it held", lambda value: f"{size_text(int(value))} of memory"),
    "output_bytes": ("it wrote", lambda value: size_text(int(value))),
    "rows": ("it wrote", lambda value: f"{value:,.0f} rows"),
    "tokens": ("it wrote", lambda value: f"{value:,.0f} tokens"),
}


def section(foretold: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What the manifest says of both; nothing where nothing was foretold."""
    if not foretold:
        return {}
    return {
        "foretold": dict(foretold),
        "measured": {key: measured[key] for key in foretold if key in measured},
    }


def off(foretold: Mapping[str, float], measured: Mapping[str, float]) -> Iterator[str]:
    """A line for each figure that was off by far."""
    for key, (verb, text) in WORDS.items():
        if key not in foretold or key not in measured:
            continue
        said, came = foretold[key], measured[key]
        if abs(came - said) > max(FAR * said, NOT_TOLD[key]):
            more = "more" if came > said else "less"
            share = f"{abs(came - said) / said:.0%} {more} than" if said else "and not"
            yield f"{verb} {text(came)}, {share} the {text(said)} that forge estimate said"
