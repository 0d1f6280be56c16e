"""A job that is killed in the middle of its writing, in a process of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from forge_gpu.config.schema import Config
from forge_gpu.job import block_pass
from forge_gpu.job.events.events import ChunkDone, Event
from tests.job import jobs


def run(config: str, output: Path, chunks: int) -> None:
    """Run a plan, given as JSON, until so many chunks are done; each is saved."""
    block_pass.SAVE_EVERY = 0.0
    left = chunks

    def listen(event: Event) -> None:
        nonlocal left
        left -= isinstance(event, ChunkDone)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    jobs.run(Config.model_validate_json(config), output, listener=listen)
