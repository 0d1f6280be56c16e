"""The device over cupy: arrays, one window of memory for many buffers, launches, a chunk's uploads kept.

All work of a process is put on the legacy default stream, by cupy, rmm and numba alike: in order, so that
memory which is given back while a kernel runs is not handed out before it has ended.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from forge_gpu.kernels.cuda.device import OVER_READ, Device
from forge_gpu.kernels.layout import PADDING

THREADS = 128  # of a block, where the kernel does not say
ALIGNMENT = 256


class ChunkDevice(Device, Protocol):
    """A device that keeps a chunk's buffers between the calls about it, and is entered for each call."""

    def forget(self) -> None:
        """Let go of all uploads that were kept."""

    def __enter__(self) -> ChunkDevice: ...

    def __exit__(self, *error: object) -> None: ...


class CupyDevice:
    """See ChunkDevice. One GPU, for one thread; allocations come from `allocator`, as cupy takes one.

    A buffer of the host is kept on the device as long as its numpy array lives; a chunk's new array is never
    taken for an old one, even at the same address. Raises MemoryError where the allocator has no more.
    """

    def __init__(self, number: int, allocator: Callable[[int], Any]) -> None:
        import cupy
        from numba import config, cuda

        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # the last chunk of a file is small, and that is no fault
        self.xp = cupy
        self._cuda = cuda
        self._number = number
        self._allocator = allocator
        self._entered: list[ExitStack] = []
        self._kept: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def __enter__(self) -> CupyDevice:
        with ExitStack() as entered:
            entered.enter_context(self.xp.cuda.Device(self._number))
            entered.enter_context(self.xp.cuda.using_allocator(self._allocator))
            self._entered.append(entered.pop_all())
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.pop().close()

    def forget(self) -> None:
        self._kept.clear()

    def upload(self, array: Any) -> Any:
        if isinstance(array, self.xp.ndarray):
            return array
        return self.xp.asarray(np.ascontiguousarray(array))

    def download(self, array: Any) -> Any:
        """Through pinned memory, with PADDING to spare behind it."""
        from cupyx import empty_pinned  # type: ignore[import-not-found,unused-ignore]

        if array.size == 0:
            return np.zeros(array.shape, array.dtype)
        array = self.xp.ascontiguousarray(array)
        room = empty_pinned(array.nbytes + PADDING, np.uint8)
        target = room[: array.nbytes]
        self.xp.cuda.runtime.memcpy(
            target.ctypes.data, array.data.ptr, array.nbytes, self.xp.cuda.runtime.memcpyDeviceToHost
        )
        return target if array.dtype == np.uint8 else target.view(array.dtype).reshape(array.shape)

    def bytes(self, size: int) -> Any:
        return self.xp.empty((size + OVER_READ + 7) // 8, np.uint64).view(np.uint8)

    def words(self, buffer: Any) -> Any:
        return buffer.view(np.uint64)

    def window(self, buffers: Sequence[Any]) -> tuple[Any, Any, list[int]]:
        there = [self._resident(buffer) for buffer in buffers]
        addresses = [int(buffer.data.ptr) for buffer in there]
        low = min(addresses) // ALIGNMENT * ALIGNMENT
        high = max(address + buffer.nbytes for address, buffer in zip(addresses, there, strict=True))
        size = (high + OVER_READ - low) // 8 * 8
        memory = self.xp.cuda.UnownedMemory(low, size, there, self._number)
        view = self.xp.ndarray(size, np.uint8, self.xp.cuda.MemoryPointer(memory, 0))
        return view, self.words(view), [address - low for address in addresses]

    def _resident(self, buffer: Any) -> Any:
        """A byte buffer on the device, readable OVER_READ bytes beyond its end."""
        if isinstance(buffer, self.xp.ndarray):
            return buffer
        kept = self._kept.get(id(buffer))
        if kept is not None and kept[0]() is buffer:
            return kept[1]
        there = self.bytes(len(buffer))
        there[: len(buffer)].set(np.ascontiguousarray(buffer))
        key = id(buffer)
        self._kept[key] = weakref.ref(buffer, lambda _: self._kept.pop(key, None)), there
        return there

    def launch(self, made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        if threads <= 0:
            return
        block = block or THREADS
        arrays = [
            self._cuda.as_cuda_array(item, sync=False) if isinstance(item, self.xp.ndarray) else item
            for item in arguments
        ]
        made[-(-threads // block), block](*arrays)
