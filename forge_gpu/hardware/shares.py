"""Which part of a job's memory may go to what. What is held at the same time is never more than the whole.

The chunks in the workers' hands are no share: `budget` fits them by the peaks that were measured
(`peak_factors.toml`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from forge_gpu.plain import frozen

Stage = Literal["open", "index", "decide", "rank", "write", "finish"]
ALL: tuple[Stage, ...] = ("open", "index", "decide", "rank", "write", "finish")


@frozen
class Share:
    """A part of some bytes. stages: of a job, in which it is held; none for a part of another share."""

    part: Fraction
    stages: tuple[Stage, ...] = ()

    def of(self, whole: int) -> int:
        """So many of `whole` bytes."""
        return whole * self.part.numerator // self.part.denominator


# Of the budget of the host.
SPOOL = Share(Fraction(1, 4), ALL)
"""Input that is spooled, or small enough to be read once."""
OPENING = Share(Fraction(5, 8), ("open",))
"""Inputs as they are decoded, several at once."""
SCANS = Share(Fraction(1, 8), ALL)
"""What the first pass found by scanning, for the second."""
GATHERED = Share(Fraction(1, 4), ("decide", "rank"))
"""Arrays of all rows that decisions are made of; larger ones are mapped files."""
DECIDER = Share(Fraction(1, 4), ("decide",))
"""What makes one kind of decision: one after another."""
RANKS = Share(Fraction(3, 8), ("rank",))
"""The order of a shuffled output."""
LEAKS = Share(Fraction(1, 4), ("finish",))
"""Counting what stands in several splits."""

BUCKET = Share(Fraction(1, 4), ("finish",))
"""A bucket of a shuffled output, and its lines in their order."""

AFTER_OUT_OF_MEMORY = Share(Fraction(1, 2))
"""What a job gets, of the budget it had, when it is run again after its container was out of memory."""

# Of what finds near-duplicates: first their pairs, then the texts that are compared.
PAIRS = Share(Fraction(1, 4))
"""Pairs of rows that are to be compared."""
BUCKETS = Share(Fraction(3, 4))
"""The rows of the bands that are worked on, before any text is read."""
MARKS = Share(Fraction(1, 2))
"""Of a band's: bitmaps of its hashes."""
MEETING = Share(Fraction(1, 2))
"""Of a band's: rows that may share a bucket."""
TEXTS = Share(Fraction(3, 4))
"""The texts of those that are compared at once, once no band is worked on."""
COMPARED = Share(Fraction(1, 2))
"""Of what a GPU may take to compare: texts, and as much for their pairs."""
JOINED = Share(Fraction(1, 2))
"""Of that, where a GPU compares: pairs that are alike, until there are enough to be joined there."""

# Of the host's available memory, and of a device's.
KEPT = Share(Fraction(1, 8))
"""Decoded input in a file: less than what Linux lets wait for the disk before it slows writers down."""
HOST_OF_GPU_JOB = Share(Fraction(1, 4))
"""What a job on a GPU takes of the host, where the plan does not say."""
DECISION_ON_DEVICE = Share(Fraction(1, 8))
"""What the arrays of a decision may take of an engine's pool."""
POOL_AT_START = Share(Fraction(1, 4))
"""With what a pool of a device starts, as a part of what it may grow to."""
