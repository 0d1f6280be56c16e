"""Plans and their sections for programs that make them themselves: `forge_gpu.load_config` and its like."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from warnings import warn

from forge_gpu.config.load import load
from forge_gpu.config.schema import ForgeConfig, HardwareConfig, ModelConfig
from forge_gpu.config.write import save
from forge_gpu.hardware.probe import probe
from forge_gpu.hardware.stack import read_stack
from forge_gpu.models.choose import GIB
from forge_gpu.planner.engine import decide_engine
from forge_gpu.planner.hardware import hardware_values
from forge_gpu.planner.model import decide

PLAN_FILE = "forge.yaml"


def load_config(
    path: Path | str = PLAN_FILE, *, settings: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> ForgeConfig:
    """The plan in a file, checked, under the settings of the environment and `settings`, as --set takes them.

    An older version is rewritten, with a backup beside it. What was put right in it is a UserWarning, a line
    each. Raises NoPlanError, ConfigError.
    """
    loaded = load(path, environ, settings)
    for line in loaded.warnings:
        warn(line, UserWarning, stacklevel=2)
    return loaded.config


def save_config(config: ForgeConfig, path: Path | str = PLAN_FILE) -> Path | None:
    """Write a plan; a different one that was there is kept, and the path of that backup returned. Raises
    OSError."""
    return save(Path(path), config, {})


def detect_hardware(folder: Path | str = ".") -> HardwareConfig:
    """What this machine has, as a plan's section: its best GPU, and whether that is to do the work."""
    machine = probe(folder)
    use, why = decide_engine("auto", machine, read_stack(machine.gpus), None)
    result = hardware_values(machine, use, why)
    return HardwareConfig(**{name: value for name, (value, _) in result.items()})


def select_optimal_model(goal: str | None, hardware: HardwareConfig | None = None) -> ModelConfig:
    """The largest model for the goal that can be fine-tuned in the GPU's memory (16 GiB where there is no
    GPU), with the built-in template that comes near its own. Raises TemplateError where none fits."""
    vram_gb = hardware.vram_gb if hardware is not None else None
    vram = None if vram_gb is None else int(vram_gb * GIB)
    return ModelConfig(**decide(goal, None, None, vram, tools=False, own=False, needed=True).values)
