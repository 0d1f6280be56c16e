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
from forge_gpu.errors import ForgeError
from forge_gpu.hardware import shares
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
    return GpuEngine(
        CupyDevice(number, pool.held.allocator(pool.allocator)),
        CpuEngine(),
        decoder=CudfParquet(pool),
        room_bytes=shares.DECISION_ON_DEVICE.of(pool.budget),
        chunks=pool.held,
    )


def current_gpu(gpus: Sequence[GPU]) -> GPU:
    """The one that is CUDA's current device: there libraries put what they are not told to put elsewhere."""
    import cupy

    runtime = cupy.cuda.runtime
    current = runtime.getDevice()
    return next((gpu for gpu in gpus if current in _numbers(gpu, runtime)), gpus[0])


def ordinal(gpu: GPU, runtime: Any) -> int:
    """CUDA's number of a device. Raises ForgeError where CUDA shows no such device, or cannot tell it from
    another."""
    numbers = _numbers(gpu, runtime)
    if len(numbers) != 1:
        shown = "does not show" if not numbers else "cannot tell from another"
        raise ForgeError(f"CUDA {shown} GPU {gpu.index}, {gpu.uuid or 'no UUID'}, {gpu.pci or 'no slot'}")
    return numbers[0]


def _numbers(gpu: GPU, runtime: Any) -> list[int]:
    """CUDA's numbers of the devices that this may be: not NVML's, for CUDA counts by speed and NVML by slot.

    The UUID decides. CuPy gives it as a C string, which ends before a byte that is zero; where that leaves
    several, or CUDA has another UUID for an instance of MIG, the slot of the GPU does.
    """
    every = range(runtime.getDeviceCount())
    uuid = _c_string(_uuid_bytes(gpu.uuid))
    same = [n for n in every if uuid and uuid == _c_string(runtime.getDeviceProperties(n).get("uuid", b""))]
    if len(same) == 1:
        return same
    slot = _slot(gpu.pci)
    return [n for n in same or every if slot and slot == _slot(runtime.deviceGetPCIBusId(n))]


def _uuid_bytes(uuid: str) -> bytes:
    """The 16 bytes of a UUID of NVML's; none of what is spelled otherwise, as instances of MIG once were."""
    try:
        return bytes.fromhex(uuid.removeprefix("GPU-").removeprefix("MIG-").replace("-", ""))
    except ValueError:
        return b""


def _c_string(value: Any) -> bytes:
    return bytes(value).split(b"\0")[0]


def _slot(pci: str) -> tuple[int, ...]:
    """Domain, bus, device and function: NVML writes eight digits of a domain, CUDA four."""
    return tuple(int(part, 16) for part in pci.replace(".", ":").split(":") if part)
