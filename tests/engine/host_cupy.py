"""cupy's names over the host's memory: what the code that talks to cupy does can be seen without a GPU.

A copy from the "device" is done when its stream is waited for and not before, so that bytes which are looked
at too early are seen to be wrong. Everything else is done at once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class DeviceArray(np.ndarray[Any, Any]):
    """cupy.ndarray. Made of a shape, a type and a pointer into memory that already exists."""

    def __new__(cls, shape: Any, dtype: Any, pointer: Pointer) -> DeviceArray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = ctypes.cast(pointer.ptr, ctypes.POINTER(ctypes.c_uint8)) if size else None
        raw = np.ctypeslib.as_array(address, (size,)) if address else np.zeros(0, np.uint8)
        made = raw.view(dtype).reshape(shape).view(cls)
        made.owner = pointer.memory
        return made

    def __array_finalize__(self, parent: Any) -> None:
        self.owner = getattr(parent, "owner", None)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.__array_interface__, "version": 3}


class Memory:
    """cupy.cuda.UnownedMemory."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int) -> None:
        self.ptr, self.size, self.owner = ptr, size, owner


class Pointer:
    """cupy.cuda.MemoryPointer."""

    def __init__(self, memory: Memory, offset: int) -> None:
        assert 0 <= offset <= memory.size
        self.memory, self.ptr = memory, memory.ptr + offset


class Buffer:
    """rmm.DeviceBuffer."""

    def __init__(self, size: int) -> None:
        self._memory = np.full(size, 0xA5, np.uint8)
        self.ptr, self.size = self._memory.ctypes.data, size


class Scope:
    """cupy.cuda.Device, Stream and using_allocator: something to be in."""

    entered: tuple[Any, ...] = ()

    def __init__(self, *what: Any) -> None:
        self.what = what
        self.ptr = id(self)
        self.waiting: list[Callable[[], object]] = []

    def __enter__(self) -> Scope:
        Scope.entered = (*Scope.entered, self)
        return self

    def __exit__(self, *error: object) -> None:
        assert Scope.entered[-1] is self
        Scope.entered = Scope.entered[:-1]

    def synchronize(self) -> None:
        for work in self.waiting:
            work()
        self.waiting.clear()

    def record(self, event: Any) -> Any:
        event.synchronize = self.synchronize
        return event


STREAMS: list[Scope] = []


def stream() -> Scope:
    STREAMS.append(Scope())
    return STREAMS[-1]


def memcpy_async(target: int, source: int, size: int, kind: int, on: int) -> None:
    result = next(made for made in STREAMS if made.ptr == on)
    assert result in Scope.entered, "work of an engine is done while its device is entered"

    def copy() -> None:
        ctypes.memmove(target, source, size)

    if kind == runtime.memcpyDeviceToHost:
        result.waiting.append(copy)
    else:
        copy()


runtime = SimpleNamespace(
    getDevice=lambda: 0,
    deviceSynchronize=lambda: None,
    memcpyAsync=memcpy_async,
    memcpyHostToDevice=1,
    memcpyDeviceToHost=2,
    hostRegister=lambda address, size, flags: None,
    hostUnregister=lambda address: None,
    CUDARuntimeError=RuntimeError,
)
cuda = SimpleNamespace(
    Device=Scope,
    Stream=stream,
    Event=lambda **_: SimpleNamespace(),
    using_allocator=Scope,
    UnownedMemory=Memory,
    MemoryPointer=Pointer,
    runtime=runtime,
)


def on_device(array: Any) -> Any:
    return np.ascontiguousarray(array).view(DeviceArray)


class HostCupy(ModuleType):
    """The module. What is not here is numpy's, with arrays of the device as results."""

    ndarray = DeviceArray
    cuda = cuda
    asarray = staticmethod(on_device)
    asnumpy = staticmethod(lambda array: np.array(array))

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            result = function(*arguments, **keywords)
            return result.view(DeviceArray) if isinstance(result, np.ndarray) else result

        return call


cupy = HostCupy("cupy")
cupyx = ModuleType("cupyx")
cupyx.empty_pinned = lambda size, dtype: np.full(size, 0x5A, dtype)  # type: ignore[attr-defined]
