"""What `forge verify` finds of an output folder: a ValidationReport."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from forge_gpu.plain import frozen


@frozen
class Check:
    """One thing that was derived anew. detail: what is amiss, or what was counted."""

    name: str
    is_sound: bool
    detail: str


@frozen
class ValidationReport:
    """folder: that was looked at. checks: in the order in which they were made. rows: of the ledger."""

    folder: str
    rows: int
    checks: tuple[Check, ...]

    @property
    def is_valid(self) -> bool:
        """Whether every check passed."""
        return all(check.is_sound for check in self.checks)

    @property
    def faults(self) -> list[str]:
        """A line for each check that failed."""
        return [f"{check.name}: {check.detail}" for check in self.checks if not check.is_sound]

    def to_dict(self) -> dict[str, Any]:
        """The same as values of JSON."""
        return {**asdict(self), "is_valid": self.is_valid}
