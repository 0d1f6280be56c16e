"""A number that is foretold, and between what it will lie."""

from __future__ import annotations

from math import sqrt

from forge_gpu.plain import frozen


@frozen
class Interval:
    """low <= value <= high: in about nine of ten jobs it lies between low and high."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A value that is certain."""
        return cls(value, value, value)

    @classmethod
    def within(cls, value: float, share: float) -> Interval:
        """share: of the value, to either side."""
        return cls(value, max(value * (1 - share), 0.0), value * (1 + share))

    @classmethod
    def of_count(cls, seen: float, share: float) -> Interval:
        """Rows of the whole, of which so many were seen in a share of it (Poisson, two deviations)."""
        if share >= 1:
            return cls.exact(seen)
        spread = 2 * sqrt(seen * (1 - share)) + (1 if seen else 3)
        return cls(seen / share, max(seen - spread, 0.0) / share, (seen + spread) / share)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.value + other.value, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Interval:
        """All three multiplied. factor: 0 or more."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def to_dict(self) -> dict[str, float]:
        """The same as values of JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def total(parts: list[Interval]) -> Interval:
    return sum(parts, Interval.exact(0.0))
