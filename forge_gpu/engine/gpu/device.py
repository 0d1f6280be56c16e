"""The device over cupy: arrays, one window of memory for many buffers, launches, a chunk's uploads kept.

An engine has a stream of its own, so that the copies of one thread run beside the kernels of another. All
that an engine does is put on it, by cupy, numba and rmm alike: in order, so that memory which is given back
while a kernel runs is handed out again behind it. The host sees bytes of the device only after it has waited
for the stream (`download`). The stream and the legacy default stream wait for each other, as CUDA has it for
streams that are not told otherwise; so arrays made outside, on that one, may be given to an engine.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from threading import local
from typing import Any, Protocol

import numpy as np

from forge_gpu.engine.gpu.staging import SLOT_BYTES, SLOTS, Staging
from forge_gpu.kernels.cuda.device import OVER_READ, Device
from forge_gpu.kernels.layout import PADDING, U8

THREADS = 128  # of a block, where the kernel does not say
ALIGNMENT = 256


class ChunkDevice(Device, Protocol):
    """A device that keeps a chunk's buffers between the calls about it, and is entered for each call."""

    def forget(self) -> None:
        """Let go of all uploads that were kept."""

    def resident(self, buffer: Any) -> Any:
        """A byte buffer on the device, OVER_READ readable bytes behind it; kept while its array lives."""

    def pin(self, memory: bytearray) -> Callable[[], None]:
        """Uploads from this memory need no other, until what this returns is called."""

    def settle(self) -> None:
        """Return when all uploads are done."""

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
        with cupy.cuda.Device(number):
            self._stream = cupy.cuda.Stream()
            self._copies = StreamCopies(self._stream)
            self._staging = Staging([_pinned(SLOT_BYTES) for _ in range(SLOTS)], self._copies)
        self._entered = _Entered()
        self._kept: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self._pinned: list[tuple[int, int]] = []  # first and last + 1 address

    def __enter__(self) -> CupyDevice:
        with ExitStack() as entered:
            entered.enter_context(self.xp.cuda.Device(self._number))
            entered.enter_context(self._stream)
            entered.enter_context(self.xp.cuda.using_allocator(self._allocator))
            self._entered.scopes.append(entered.pop_all())
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.scopes.pop().close()

    def forget(self) -> None:
        self._kept.clear()

    def upload(self, array: Any) -> Any:
        if isinstance(array, self.xp.ndarray):
            return array
        array = np.ascontiguousarray(array)
        there = self.xp.empty(array.shape, array.dtype)
        self._staging.upload(array.reshape(-1).view(np.uint8), there.data.ptr)
        return there

    def download(self, array: Any) -> Any:
        """Into pinned memory that is the host's then, with PADDING to spare behind it."""
        if array.size == 0:
            return np.zeros(array.shape, array.dtype)
        array = self.xp.ascontiguousarray(array)
        room = _pinned(array.nbytes + PADDING)
        target = room[: array.nbytes]
        runtime = self.xp.cuda.runtime
        runtime.memcpyAsync(
            target.ctypes.data, array.data.ptr, array.nbytes, runtime.memcpyDeviceToHost, self._stream.ptr
        )
        self._stream.synchronize()
        return target.view(array.dtype).reshape(array.shape)

    def bytes(self, size: int) -> Any:
        return self.xp.empty((size + OVER_READ + 7) // 8, np.uint64).view(np.uint8)

    def words(self, buffer: Any) -> Any:
        return buffer.view(np.uint64)

    def window(self, buffers: Sequence[Any]) -> tuple[Any, Any, list[int]]:
        there = [self.resident(buffer) for buffer in buffers]
        addresses = [int(buffer.data.ptr) for buffer in there]
        low = min(addresses) // ALIGNMENT * ALIGNMENT
        high = max(address + buffer.nbytes for address, buffer in zip(addresses, there, strict=True))
        size = (high + OVER_READ - low) // 8 * 8
        memory = self.xp.cuda.UnownedMemory(low, size, there, self._number)
        view = self.xp.ndarray(size, np.uint8, self.xp.cuda.MemoryPointer(memory, 0))
        return view, self.words(view), [address - low for address in addresses]

    def resident(self, buffer: Any) -> Any:
        """A byte buffer on the device, readable OVER_READ bytes beyond its end."""
        if isinstance(buffer, self.xp.ndarray):
            return buffer
        resident = self._kept.get(id(buffer))
        if resident is not None and resident[0]() is buffer:
            return resident[1]
        there = self.bytes(len(buffer))
        self._copy(np.ascontiguousarray(buffer), there.data.ptr)
        key = id(buffer)
        self._kept[key] = weakref.ref(buffer, lambda _: self._kept.pop(key, None)), there
        return there

    def _copy(self, data: U8, target: int) -> None:
        """From pinned memory by one copy, which is not waited for; from all other by way of some."""
        begin = data.ctypes.data
        if any(low <= begin and begin + len(data) <= high for low, high in self._pinned):
            self._copies.start(data, target)
        else:
            self._staging.upload(data, target)

    def pin(self, memory: bytearray) -> Callable[[], None]:
        runtime = self.xp.cuda.runtime
        begin = np.frombuffer(memory, np.uint8).ctypes.data
        extent = begin, begin + len(memory)
        try:
            runtime.hostRegister(begin, len(memory), 0)
        except runtime.CUDARuntimeError:  # there may be a limit to it: then it goes by way of the slots
            return lambda: None
        self._pinned.append(extent)

        def unpin() -> None:
            self._pinned.remove(extent)
            with suppress(runtime.CUDARuntimeError):  # of a device that is lost
                runtime.hostUnregister(begin)

        return unpin

    def settle(self) -> None:
        self._stream.synchronize()

    def launch(self, made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        if threads <= 0:
            return
        block = block or THREADS
        arrays = [
            self._cuda.as_cuda_array(item, sync=False) if isinstance(item, self.xp.ndarray) else item
            for item in arguments
        ]
        made[-(-threads // block), block, self._cuda.external_stream(self._stream.ptr)](*arrays)


class _Entered(local):
    """Scopes of the thread that asks: the bytes of a text may be fetched by another than the engine's."""

    def __init__(self) -> None:
        self.scopes: list[ExitStack] = []


class StreamCopies:
    """See staging.Copies; on a stream of cupy's."""

    def __init__(self, stream: Any) -> None:
        import cupy

        self._stream = stream
        self._cuda = cupy.cuda

    def start(self, source: U8, target: int) -> None:
        runtime = self._cuda.runtime
        runtime.memcpyAsync(
            target, source.ctypes.data, len(source), runtime.memcpyHostToDevice, self._stream.ptr
        )

    def mark(self) -> Any:
        return self._stream.record(self._cuda.Event(block=True, disable_timing=True))

    def wait(self, mark: Any) -> None:
        mark.synchronize()


def _pinned(size: int) -> U8:
    from cupyx import empty_pinned  # type: ignore[import-not-found,unused-ignore]

    memory: U8 = empty_pinned(size, np.uint8)
    return memory
