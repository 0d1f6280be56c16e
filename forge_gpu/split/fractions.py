"""The wanted sizes of the splits, as exact rationals."""

from __future__ import annotations

from fractions import Fraction

from forge_gpu.plain import frozen


@frozen
class Splits:
    """Fractions of train, validation and test, as written in forge.yaml.

    A float stands for the decimal number it prints as: 0.1 is 1/10. Train takes what the others leave.
    """

    train: float
    validation: float
    test: float = 0.0

    def exact(self) -> tuple[Fraction, Fraction]:
        """(validation, test); their sum is at most 1."""
        test = min(Fraction(str(self.test)), Fraction(1))
        return min(Fraction(str(self.validation)), 1 - test), test

    def counts(self, n: int) -> tuple[int, int]:
        """Rows of n for (validation, test): ⌊n·f + ½⌋ each; validation gives way where there are too few."""
        validation, test = self.exact()
        tests = rounded(n, test)
        return min(rounded(n, validation), n - tests), tests


def rounded(n: int, fraction: Fraction) -> int:
    """⌊n · fraction + ½⌋."""
    return (2 * n * fraction.numerator + fraction.denominator) // (2 * fraction.denominator)
