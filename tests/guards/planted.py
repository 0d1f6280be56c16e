"""What the tests of guards share: a job stopped midway, and faults planted at a moment of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.config.schema import Config
from forge_gpu.errors import Interrupted
from forge_gpu.job.events.events import ChunkDone, Event, Listener, StageStarted
from tests.job import jobs


def when(stage: str, plant: Callable[[], object]) -> Listener:
    """A listener that plants a fault as a stage begins."""

    def listen(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == stage:
            plant()

    return listen


def stop_in(config: Config, output: Path, stage: str, chunks: int = 2, **options: Any) -> None:
    """Run a job that is interrupted after some chunks of a stage."""
    left = chunks

    def listen(event: Event) -> None:
        nonlocal left
        left -= isinstance(event, ChunkDone) and event.stage == stage

    def check() -> None:
        if left <= 0:
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        jobs.run(config, output, listener=listen, check_stop=check, **options)


def flip(path: Path, at: int = -1) -> None:
    """Flip the lowest bit of one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
