"""A job that is open: what its steps work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from forge_gpu.hardware.budget import Budget
from forge_gpu.job.decide.mixture import Mixture
from forge_gpu.job.events.events import Listener
from forge_gpu.job.output.manifest import RunFacts
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run.pool import Executor
from forge_gpu.job.state import index
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.index import RangeFacts
from forge_gpu.job.state.inputs import JobInputs, PlacedPart, placed_parts
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
    def ranges(self) -> list[RangeFacts]:
        """What the index says of each range; known when the first pass has ended."""
        return [index.read_facts(self.checkpoint.index_path(item.number)) for item in self.inputs.items]

    @cached_property
    def parts(self) -> list[PlacedPart]:
        """What the second pass writes, in order."""
        return placed_parts(self.inputs.items, self.ranges)
