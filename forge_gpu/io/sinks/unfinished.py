"""A file that grows under another name until it is whole."""

from __future__ import annotations

from pathlib import Path

from forge_gpu.io.atomic import PARTIAL, publish
from forge_gpu.io.disk import output_fault
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.sinks.base import Positions


class UnfinishedFile(GrowingFile):
    """It becomes `final` at its end. positions: those of an earlier run. Raises OutputError."""

    def __init__(self, final: Path, positions: Positions) -> None:
        partial = final.with_name(final.name + PARTIAL)
        position = positions.get(partial.name, 0)
        if position and not partial.exists() and final.exists():
            final.rename(partial)  # an earlier run was killed while it gave the files their names
        super().__init__(partial, position, of=final)
        self._final = final

    def publish(self) -> None:
        """Close it, once it is synced, and give it its name."""
        self.close()
        try:
            publish(self.path, self._final)
        except OSError as fault:
            raise output_fault(fault, self._final) from fault
