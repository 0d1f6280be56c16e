"""Which engine a library user gets, and with it which libraries' frames."""

from __future__ import annotations

from typing import Any

from forge_gpu.engine.choose import engine_factory, gpu_maker
from forge_gpu.errors import ConfigError
from forge_gpu.frames.base import Frames
from forge_gpu.frames.engine import FrameEngine


def open_frames(wanted: str) -> FrameEngine[Any, Any]:
    """An engine over the frames of its library. wanted: auto, cpu or gpu."""
    if wanted not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"engine is {wanted!r}: choose auto, cpu or gpu")
    engines = engine_factory(wanted)
    if engines.gpus:
        from forge_gpu.engine.gpu.start import current_gpu

        engines.make = gpu_maker([current_gpu(engines.gpus)])  # where cuDF's frames are
    return FrameEngine(engines, frames_for(engines.name))


def frames_for(engine: str) -> Frames[Any, Any]:
    """The frames that an engine of this name takes: pandas', and on a GPU cuDF's as well."""
    from forge_gpu.frames.pandas_frames import PandasFrames

    if engine == "cpu":
        return PandasFrames()
    from forge_gpu.engine.gpu.cudf_adapter import CudfAdapter
    from forge_gpu.frames.any_frames import AnyFrames
    from forge_gpu.frames.cudf_frames import CudfFrames

    return AnyFrames({"pandas": PandasFrames(), "cudf": CudfFrames(CudfAdapter())})
