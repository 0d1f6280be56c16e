"""A device over numpy, for numba's CUDA simulator: import it only where NUMBA_ENABLE_CUDASIM=1 is set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import config
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from forge_gpu.kernels.cuda.device import OVER_READ, WARP

assert config.ENABLE_CUDASIM, "set NUMBA_ENABLE_CUDASIM=1 before numba is imported"
warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # uint64 wraps on purpose
warnings.filterwarnings("ignore", "(?s).*under-utilization.*")


class SimulatedDevice:
    """See kernels.cuda.device.Device. `limit`: bytes that one allocation may have; None for any."""

    xp = np

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.launches = 0

    def upload(self, array: Any) -> Any:
        return np.array(array)

    def download(self, array: Any) -> Any:
        return array.copy()

    def bytes(self, size: int) -> Any:
        if self.limit is not None and size > self.limit:
            raise MemoryError(f"{size} bytes of {self.limit}")
        # Not zeros: what a kernel does not write must be seen.
        return np.full((size + OVER_READ + 7) // 8, 0xA5A5A5A5A5A5A5A5, np.uint64).view(np.uint8)

    def resident(self, buffer: Any) -> Any:
        there = self.bytes(len(buffer))
        there[: len(buffer)] = buffer
        return there

    def settle(self) -> None: ...

    def pin(self, memory: bytearray) -> Callable[[], None]:
        return lambda: None

    def window(self, buffers: Sequence[Any]) -> tuple[Any, Any, list[int]]:
        starts, at = [], 0
        for buffer in buffers:
            starts.append(at)
            at += (len(buffer) + OVER_READ + 7) // 8 * 8
        memory = self.bytes(at)
        for start, buffer in zip(starts, buffers, strict=True):
            memory[start : start + len(buffer)] = buffer
        return memory, self.words(memory), starts

    def words(self, buffer: Any) -> Any:
        return buffer.view(np.uint64)

    def launch(self, made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        if threads <= 0:
            return
        self.launches += 1
        block = block or WARP
        wrapped = [FakeCUDAArray(item) if isinstance(item, np.ndarray) else item for item in arguments]
        made[-(-threads // block), block](*wrapped)
