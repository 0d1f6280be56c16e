"""What the process and its GPUs are at, now."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from forge_gpu.hardware.gpus import GPU
from forge_gpu.job.events.events import Sampled
from forge_gpu.job.events.memory import resident_memory


class Sampler:
    """Looks at this process's memory, and at the GPUs that it is told of."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []

    def watch(self, gpus: Sequence[GPU], nvml: Any = None) -> None:
        """Look at these devices as well. nvml: the pynvml module, or an object with its functions.

        Devices that NVML does not tell of are left out: samples are for a view, and no job fails by them.
        """
        if not gpus:
            return
        try:
            self._nvml = importlib.import_module("pynvml") if nvml is None else nvml
            self._nvml.nvmlInit()
            self._handles = [self._nvml.nvmlDeviceGetHandleByUUID(gpu.uuid) for gpu in gpus]
        except Exception:
            self._handles = []

    def __call__(self, stage: str, queue: int) -> Sampled:
        return Sampled(stage, resident_memory(), self._vram(), self._gpu_use(), queue)

    def _vram(self) -> int | None:
        try:
            used = [int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used) for handle in self._handles]
        except Exception:
            return None
        return sum(used) if used else None

    def _gpu_use(self) -> float | None:
        try:
            shares = [self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100 for handle in self._handles]
        except Exception:
            return None  # as of a MIG instance, which has no such rate
        return sum(shares) / len(shares) if shares else None
