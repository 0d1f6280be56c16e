"""What the host side of a CUDA kernel needs of a device, and how the kernels are made.

A `Device` is the counterpart of `scratch.Scratch`: the last argument of every kernel's host function. The GPU
engine has one over cupy; the tests have one over numpy, for numba's simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numba import config, cuda

from forge_gpu.kernels.cuda.cache import keep
from forge_gpu.kernels.layout import I64, U8, Spans

WARP = 32
OVER_READ = 16
"""Readable bytes that a byte buffer on a device has behind its last (see memory)."""


class DeviceSpans(Spans):
    """A column whose bytes are on the device. places: its start, length and kind there; None where they are
    on the host alone."""

    __slots__ = ("places",)

    def __init__(
        self, data: Any, start: I64, length: I64, kind: U8, places: tuple[Any, Any, Any] | None
    ) -> None:
        super().__init__(data, start, length, kind)
        self.places = places


KERNELS: dict[str, Any] = {}
"""Every kernel by module and name, so that a test can compile them all."""

REGISTERS: dict[str, int] = {}
"""How many registers a thread may have, of kernels for which that is said."""


def function(definition: Callable[..., Any]) -> Any:
    """A function that kernels call."""
    return cuda.jit(device=True)(definition)


def kernel(definition: Callable[..., Any]) -> Any:
    """A kernel, compiled at its first launch for the types and the device at hand, and kept on disk."""
    return _kept(cuda.jit(definition), definition)


def kernel_of_registers(count: int) -> Callable[[Callable[..., Any]], Any]:
    """As `kernel`, for one whose threads may have so many registers and no more."""

    def decorate(definition: Callable[..., Any]) -> Any:
        REGISTERS[name_of(definition)] = count
        bound = {} if config.ENABLE_CUDASIM else {"max_registers": count}
        return _kept(cuda.jit(**bound)(definition), definition)

    return decorate


def name_of(definition: Callable[..., Any]) -> str:
    """A kernel's module and name."""
    return f"{definition.__module__.rpartition('.')[2]}.{definition.__name__}"


def _kept(made: Any, definition: Callable[..., Any]) -> Any:
    keep(made, definition)
    KERNELS[name_of(definition)] = definition
    return made


class Device(Protocol):
    """One GPU, used by one thread. Arrays of a device are those of its namespace `xp`."""

    @property
    def xp(self) -> Any:
        """cupy, or what has the same functions."""

    def upload(self, array: Any) -> Any:
        """A host array on the device; an array of the device as it is."""

    def download(self, array: Any) -> Any:
        """An array of the device as a numpy array; the host may keep it."""

    def bytes(self, size: int) -> Any:
        """uint8[size + OVER_READ and more], a multiple of 8, contents undefined."""

    def window(self, buffers: Sequence[Any]) -> tuple[Any, Any, list[int]]:
        """One view of device memory that shows all the byte buffers, of the host or of the device.

        Returns (uint8 view, uint64 view of the same, where each buffer starts in them).
        """

    def words(self, buffer: Any) -> Any:
        """The uint64 view of what `bytes` gave."""

    def launch(self, made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        """Run a kernel with at least `threads` threads; nothing where that is 0. Arguments: arrays of the
        device, and numbers. block: threads a block, where the kernel shares memory."""


def offsets_of(device: Device, sizes: Any) -> Any:
    """int64[n + 1]: where each of n items starts, and where the last ends."""
    offsets = device.xp.zeros(len(sizes) + 1, np.int64)
    if len(sizes):
        device.xp.cumsum(sizes, out=offsets[1:])
    return offsets


def scalar(device: Device, array: Any, i: int) -> int:
    """Item i of an array of the device."""
    n = len(array)
    return int(device.download(array[i % n : i % n + 1])[0])


def places_there(column: Spans, device: Device) -> tuple[Any, Any, Any]:
    """start, length and kind of a column on the device; they go up unless they are there."""
    if isinstance(column, DeviceSpans) and column.places is not None:
        return column.places
    arrays = zip((column.start, column.length, column.kind), (np.int64, np.int64, np.uint8), strict=True)
    start, length, kind = (device.upload(np.ascontiguousarray(array, dtype)) for array, dtype in arrays)
    return start, length, kind
