"""So much of a row as a page shows."""

from __future__ import annotations

from collections.abc import Sequence

Segment = tuple[str, int]
"""A text, and its flags: see `samples`."""


def shortened(segments: Sequence[Segment], most: int) -> tuple[list[Segment], int]:
    """The first so many characters, and how many are left away."""
    shown: list[Segment] = []
    left = most
    for text, flags in segments:
        if left > 0:
            shown.append((text[:left], flags))
        left -= len(text)
    return shown, max(-left, 0)
