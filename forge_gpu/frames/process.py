"""The engine of a process that frames come to from elsewhere, as a worker of a Dask cluster is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forge_gpu.frames.engine import FrameEngine


@cache
def engine_of_process(engine: str, memory: int) -> FrameEngine[Any, Any]:
    """One for all threads of this process, each of which works on one block at a time."""
    from forge_gpu.frames.choose import open_frames
    from forge_gpu.hardware.host import read_memory

    return open_frames(engine, min(memory, read_memory().total), 1)
