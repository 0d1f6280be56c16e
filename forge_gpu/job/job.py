"""A job that is open: what its steps work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from forge_gpu.errors import OutputError
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.decide.mixture import Mixture
from forge_gpu.job.events.events import Listener
from forge_gpu.job.output.manifest import RunFacts
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run.pool import Executor
from forge_gpu.job.state import decisions as decided
from forge_gpu.job.state import index
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import Decisions
from forge_gpu.job.state.index import RangeFacts
from forge_gpu.job.state.inputs import JobInputs, PlacedBlock, placed_blocks
from forge_gpu.job.state.spec import JobSpec


@dataclass
class Job:
    """Its inputs, its checkpoint, its threads."""

    spec: JobSpec
    budget: Budget
    inputs: JobInputs
    checkpoint: Checkpoint
    pool: Executor[Workspace]
    facts: RunFacts
    listener: Listener
    mixture: Mixture | None = None

    @cached_property
    def decisions(self) -> Decisions:
        """What the checkpoint says of each row; known when the decisions are made. Raises OutputError."""
        decisions = decided.load(self.checkpoint.decisions)
        if decisions is None:
            raise OutputError(
                f"{self.checkpoint.decisions}: does not read back as it was written; check the disk"
            )
        return decisions

    @cached_property
    def ranges(self) -> list[RangeFacts]:
        """What the index says of each range; known when the first pass has ended."""
        return [index.read_facts(self.checkpoint.index_path(item.number)) for item in self.inputs.items]

    @cached_property
    def blocks(self) -> list[PlacedBlock]:
        """What the second pass writes, in order."""
        return placed_blocks(self.inputs.items, self.ranges)
