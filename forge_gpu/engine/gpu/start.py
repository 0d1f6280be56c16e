"""From a device that NVML names to an engine on it, with its pool of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu.budget import gpu_budget
from forge_gpu.engine.gpu.cudf_adapter import CudfParquet
from forge_gpu.engine.gpu.device import CupyDevice
from forge_gpu.engine.gpu.engine import GpuEngine
from forge_gpu.engine.gpu.pool import BudgetedPool
from forge_gpu.hardware.gpus import GPU


def open_engine(gpu: GPU, pool_bytes: int | None, pools: dict[int, Any]) -> GpuEngine:
    """An engine on a device; all engines of a GPU share its pool in `pools`, made by the first.

    pool_bytes: what the pool may hold; None for the budget of a single engine.
    """
    import cupy

    number = ordinal(gpu, cupy.cuda.runtime)
    if number not in pools:
        with cupy.cuda.Device(number):
            pools[number] = BudgetedPool(number, pool_bytes or gpu_budget([gpu.vram_free], 1).pools[0])
    pool = pools[number]
    return GpuEngine(CupyDevice(number, pool.allocator), CpuEngine(), decoder=CudfParquet(pool))


def current_gpu(gpus: Sequence[GPU]) -> GPU:
    """The one that is CUDA's current device: there libraries put what they are not told to put elsewhere."""
    import cupy

    runtime = cupy.cuda.runtime
    current = runtime.getDevice()
    return next((gpu for gpu in gpus if ordinal(gpu, runtime) == current), gpus[0])


def ordinal(gpu: GPU, runtime: Any) -> int:
    """CUDA's number of a device: it counts by speed, NVML by slot, so the UUID decides."""
    required = gpu.uuid.removeprefix("GPU-").replace("-", "").lower()
    for number in range(runtime.getDeviceCount()):
        uuid = runtime.getDeviceProperties(number).get("uuid", b"")
        if bytes(uuid).hex() == required:
            return number
    return 0  # a MIG instance has a UUID of its own, and CUDA shows one instance to a process
