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
    """The plan in a file, checked.

    path: of the file. settings: `section.key=value` that override it, as `--set` does. environ: where
    variables such as FORGE_CONFIG__SECTION__KEY are looked up; they stand between the file and `settings`.
    A file of an older version is rewritten, with a backup beside it. Each correction is a UserWarning.

    Raises NoPlanError where there is no file, ConfigError with a line for each fault.
    """
    loaded = load(path, environ, settings)
    for line in loaded.warnings:
        warn(line, UserWarning, stacklevel=2)
    return loaded.config


def save_config(config: ForgeConfig, path: Path | str = PLAN_FILE) -> Path | None:
    """Write a plan to a file.

    config: the plan. path: of the file. A different file there is renamed, and the path of that backup is
    returned; None where there was none. Raises OSError.
    """
    return save(Path(path), config, {})


def detect_hardware(folder: Path | str = ".") -> HardwareConfig:
    """What this machine has, as the section `hardware` of a plan: its best GPU, and whether to use it.

    folder: on the disk whose free space is asked for.
    """
    machine = probe(folder)
    use, why = decide_engine("auto", machine, read_stack(machine.gpus), None)
    result = hardware_values(machine, use, why)
    return HardwareConfig(**{name: value for name, (value, _) in result.items()})


def select_optimal_model(goal: str | None, hardware: HardwareConfig | None = None) -> ModelConfig:
    """The largest known model for a goal that fits the GPU for fine-tuning, with a built-in template near
    its own.

    goal: words such as "support assistant"; None for any. hardware: whose `vram_gb` (GiB) is the bound; 16
    GiB where it is None or has no GPU. Raises TemplateError where no model fits.
    """
    vram_gb = hardware.vram_gb if hardware is not None else None
    vram = None if vram_gb is None else int(vram_gb * GIB)
    return ModelConfig(**decide(goal, None, None, vram, tools=False, own=False, needed=True).values)
