"""A device over numpy, for numba's CUDA simulator: import it only where NUMBA_ENABLE_CUDASIM=1 is set."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
from numba import config, cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from numba.cuda.simulator.kernelapi import FakeCUDAModule

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
        grid = -(-threads // block)
        with _simulating(grid, block):
            made[grid, block](*wrapped)


_ONE_LAUNCH = RLock()


@contextmanager
def _simulating(grid: int, block: int) -> Iterator[None]:
    """Kernels and the functions that they call find the simulator under the name `cuda`, in all modules
    and for a whole launch. numba puts it there for a call, and takes it away under another thread's feet."""
    simulator = FakeCUDAModule((grid, 1, 1), (block, 1, 1), 0)
    with _ONE_LAUNCH:
        modules = [
            module for name, module in sys.modules.items()
            if name.startswith("forge_gpu.kernels.cuda.") and getattr(module, "cuda", None) is cuda
        ]  # fmt: skip
        for module in modules:
            module.cuda = simulator  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module in modules:
                module.cuda = cuda  # type: ignore[attr-defined]
