"""When programs that Python evaluates are worth their while, against Jinja row by row.

Clocks decide only which way a row takes, never what it becomes: both ways give the same bytes.
"""

from __future__ import annotations

from forge_gpu.plain import mutable
from forge_gpu.templates.jinja_rows import JinjaRows

ALLOWANCE = 0.05
"""Share of Jinja's own time that may be spent on programs without a gain."""


@mutable
class Cutover:
    """Seconds and rows of both ways. What programs cost beyond what Jinja would have cost for their rows
    stays within ALLOWANCE of what Jinja costs: so the whole is never slower by more than that."""

    jinja: JinjaRows
    program_seconds: float = 0.0
    program_rows: int = 0

    def programs_pay(self) -> bool:
        """Is the next row worth a try?"""
        jinja = self.jinja
        saved = jinja.seconds / jinja.rows * self.program_rows if jinja.rows else 0.0
        return self.program_seconds <= saved + ALLOWANCE * jinja.seconds
