"""A machine as the section `hardware` of a plan."""

from __future__ import annotations

from typing import Any

from forge_gpu.hardware.probe import Hardware
from forge_gpu.models.choose import GIB


def hardware_values(machine: Hardware, use_gpu: bool, why: str) -> dict[str, tuple[Any, str]]:
    """Key -> its value and the reason. why: of whether the GPU is to do the work."""
    values: dict[str, tuple[Any, str]] = {"use_gpu_preprocessing": (use_gpu, why)}
    gpu = machine.best_gpu
    if gpu is None:
        return values
    values["vram_gb"] = round(gpu.vram_total / GIB, 1), f"GiB of {gpu.name}"
    if gpu.architecture:
        values["gpu_arch"] = gpu.architecture, gpu.name
    if gpu.compute_capability:
        values["compute_capability"] = ".".join(map(str, gpu.compute_capability)), gpu.name
    return values
