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
    range_bytes: of input between two checkpoints. against_base: where relative evaluation files start
    from; None for `base`. destination: the URL that the finished output is moved to. workers: processes of a
    Dask cluster made for the job, on this machine; scheduler: the address of a running one; without either
    the job runs in this process's threads.
    """

    config: Config
    base: Path
    output: Path
    limit: int | None = None
    strict: bool = False
    fresh: bool = False
    wait: float | None = None
    range_bytes: int = RANGE_BYTES
    against_base: Path | None = None
    destination: str | None = None
    workers: int | None = None
    scheduler: str | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether ranges go to the workers of a Dask cluster instead of this process's threads."""
        return self.workers is not None or self.scheduler is not None
