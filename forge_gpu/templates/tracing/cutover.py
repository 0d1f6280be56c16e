"""When programs that Python evaluates are worth their while, against Jinja row by row.

Clocks decide only which way a row takes, never what it becomes: both ways give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

ALLOWANCE = 0.05
"""Share of Jinja's own time that may be spent on programs without a gain."""


@dataclass
class Cutover:
    """Seconds and rows of both ways. What programs cost beyond what Jinja would have cost for their rows
    stays within ALLOWANCE of what Jinja costs: so the whole is never slower by more than that."""

    program_seconds: float = 0.0
    program_rows: int = 0
    jinja_seconds: float = 0.0
    jinja_rows: int = 0

    def programs_pay(self) -> bool:
        """Is the next row worth a try?"""
        saved = self.jinja_seconds / self.jinja_rows * self.program_rows if self.jinja_rows else 0.0
        return self.program_seconds <= saved + ALLOWANCE * self.jinja_seconds
