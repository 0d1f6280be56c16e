"""A record that cannot be read as its plan says."""

from __future__ import annotations

from forge_gpu.fates import Reason


class BadRecord(Exception):
    """A record that cannot become messages: `reason` and one line that says why."""

    def __init__(self, detail: str, reason: Reason = Reason.BAD_MESSAGES) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
