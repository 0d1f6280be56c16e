"""Which engine a library user gets, and with it which library's frames."""

from __future__ import annotations

from typing import Any

from forge_gpu.engine.choose import engine_factory
from forge_gpu.errors import ConfigError
from forge_gpu.frames.engine import FrameEngine


def open_frames(wanted: str) -> FrameEngine[Any, Any]:
    """An engine over the frames of its library. wanted: auto, cpu or gpu."""
    if wanted not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"engine is {wanted!r}: choose auto, cpu or gpu")
    from forge_gpu.frames.pandas_frames import PandasFrames

    return FrameEngine(engine_factory(wanted)(), PandasFrames())
