"""A job as data: what to prepare, where to, and how to behave. It can be serialised and run elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forge_gpu.config.schema import Config
from forge_gpu.io.chunks import RANGE_BYTES


@dataclass(frozen=True)
class JobSpec:
    """config: the plan. base: the folder that relative inputs start from. output: the folder to write.

    limit: rows to take from the input's start. strict: stop at the first rejected row. fresh: forget what
    an earlier run left. wait: seconds to wait for another run on the same output; None for no bound.
    range_bytes: of input between two checkpoints.
    """

    config: Config
    base: Path
    output: Path
    limit: int | None = None
    strict: bool = False
    fresh: bool = False
    wait: float | None = None
    range_bytes: int = RANGE_BYTES
