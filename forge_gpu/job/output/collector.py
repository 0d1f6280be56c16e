"""One who looks at a few rows of a job while they are written. What it is for, the job does not know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from forge_gpu.job.events.events import Listener
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    from forge_gpu.job.state.decisions import Decisions


@frozen
class SeenRow:
    """A row by its number in the job, with its place in the input; source: its bytes there, or of a table the
    row as a JSON object."""

    number: int
    file: str
    row: int
    detail: str
    source: bytes


class Collector(Protocol):
    def choose(self, output: Path, decisions: Decisions, goes_on: bool) -> I64:
        """Numbers of the rows that it asks to see, ascending.

        output: the folder of the job, whose lock is held. goes_on: whether an earlier run has written
        rows, so that a collector has seen some of them.
        """

    def take(self, rows: Sequence[SeenRow]) -> None:
        """Some of these rows, in order."""

    def finish(self, output: Path, manifest: dict[str, Any], listener: Listener) -> None:
        """The output is whole, and lies here still."""
