"""Which engine runs, and why."""

from __future__ import annotations

from collections.abc import Callable

from forge_gpu.engine.base import Engine
from forge_gpu.errors import ForgeError


def engine_factory(wanted: str) -> Callable[[], Engine]:
    """What makes engines, one for each thread. wanted: auto, cpu or gpu."""
    if wanted == "gpu":
        raise ForgeError(
            "preprocessing.engine is gpu, but this build has no GPU engine; set it to auto or cpu"
        )
    from forge_gpu.engine.cpu.engine import CpuEngine

    return CpuEngine
