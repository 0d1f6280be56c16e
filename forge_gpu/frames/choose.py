"""Which engine a library user gets, and with it which libraries' frames."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from forge_gpu.engine.choose import EngineFactory, engine_factory, gpu_maker
from forge_gpu.errors import ConfigError
from forge_gpu.frames.base import Frames
from forge_gpu.frames.engine import FrameEngine
from forge_gpu.hardware.budget import Budget, cpu_budget
from forge_gpu.hardware.host import read_cores, read_memory

LEAST_MEMORY = 16 * 2**20


def open_frames(requested: str, memory: int | None, threads: int | None) -> FrameEngine[Any, Any]:
    """An engine over the frames of its library. requested: auto, cpu or gpu. memory: bytes, None for a part
    of what is free. threads: None for all cores."""
    if requested not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"engine is {requested!r}: choose auto, cpu or gpu")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads is {threads!r}: give 1 or more, or None for all cores")
    engines = engine_factory(requested)
    budget = _budget(engines, memory, threads)
    if engines.gpus:
        from forge_gpu.engine.gpu.start import current_gpu

        engines.make = gpu_maker([current_gpu(engines.gpus)])  # where cuDF's frames are
    return FrameEngine(engines, frames_for(engines.name), budget, engine_of_process)


@cache
def engine_of_process(engine: str, memory: int) -> FrameEngine[Any, Any]:
    """One for all threads of a process that frames come to; each works on one block at a time."""
    return open_frames(engine, min(memory, read_memory().total), 1)


def _budget(engines: EngineFactory, memory: int | None, threads: int | None) -> Budget:
    """Of the host's memory, or of the GPU's, where one block is worked on after the other."""
    host = read_memory()
    if memory is not None and not LEAST_MEMORY <= memory <= host.total:
        raise ConfigError(
            f"memory is {memory!r}: give bytes, from {LEAST_MEMORY} to the {host.total} that there are here, "
            "or None"
        )
    if engines.name == "cpu":
        return cpu_budget(host, read_cores(), memory or "auto", threads or "auto")
    engines.fixed_pools = () if memory is None else (memory,)
    budget = engines.budget(cpu_budget(host, read_cores(), "auto", 1), host.available)
    return replace(budget, bytes=engines.pools[0])


def frames_for(engine: str) -> Frames[Any, Any]:
    """The frames that an engine of this name takes: on a GPU cuDF's as well."""
    from forge_gpu.frames.any_frames import AnyFrames

    if engine == "cpu":
        return AnyFrames()
    from forge_gpu.engine.gpu.cudf_adapter import CudfAdapter
    from forge_gpu.frames.cudf_frames import CudfFrames

    return AnyFrames({"cudf": CudfFrames(CudfAdapter())})
