"""A device over the host's memory, for array code: it has what cupy has, and refuses what cupy refuses.

Arrays of the device are of a class of their own: where one meets an array of the host, or a function of
numpy's, that raises. So does what cupy leaves undefined: an assignment of several values to one place. Memory
is counted as long as it is held, and runs out at `limit`; after `calls` allocations the device is lost.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

SCALARS = (bool, int, float, np.generic)


class DeviceLost(RuntimeError):
    """What a driver says when a GPU has gone."""


class HostDevice:
    """See kernels.cuda.device.Device, but for kernels. held, peak: bytes; made: allocations so far."""

    def __init__(self, limit: int | None = None, calls: int | None = None) -> None:
        self.limit = limit
        self.calls = calls
        self.held = self.peak = self.made = 0
        self.xp = Cupy(self)

    def require(self, size: int) -> None:
        """That so many more bytes are there for a moment."""
        self.made += 1
        if self.calls is not None and self.made > self.calls:
            raise DeviceLost("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure")
        if self.limit is not None and self.held + size > self.limit:
            raise MemoryError(f"out of memory: {size} bytes beside {self.held} of {self.limit}")
        self.peak = max(self.peak, self.held + size)

    def wrapped(self, array: Any) -> DeviceArray:
        array = np.asarray(array)
        made = DeviceArray(self, array)
        if array.base is None:
            self.require(array.nbytes)
            self.held += array.nbytes
            weakref.finalize(made, self._give_back, array.nbytes)
        return made

    def _give_back(self, size: int) -> None:
        self.held -= size

    def upload(self, array: Any) -> DeviceArray:
        assert isinstance(array, np.ndarray), f"{type(array).__name__} is no array of the host"
        return self.wrapped(np.array(array))

    def download(self, array: Any) -> Any:
        assert isinstance(array, DeviceArray), f"{type(array).__name__} is no array of the device"
        self.require(0)
        return array._array.copy()


class DeviceArray(NDArrayOperatorsMixin):
    """cupy.ndarray, as far as decisions use it."""

    def __init__(self, device: HostDevice, array: Any) -> None:
        self._device = device
        self._array = array

    dtype = property(lambda self: self._array.dtype)
    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __iter__(self) -> Any:
        raise TypeError("going through an array of the device asks it for every item")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion to a numpy array")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} over an array of the device")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **keywords: Any) -> Any:
        assert method == "__call__" and not keywords, f"numpy.{ufunc.__name__}.{method}"
        arrays = [_inside(item) for item in inputs]
        if out is not None:
            ufunc(*arrays, out=tuple(item._array for item in out))
            return out[0]
        return self._device.wrapped(ufunc(*arrays))

    def __getitem__(self, at: Any) -> DeviceArray:
        return self._device.wrapped(self._array[_place(at)])

    def __setitem__(self, at: Any, value: Any) -> None:
        place, new = _place(at), _inside(value)
        if isinstance(place, np.ndarray) and place.dtype != np.bool_ and np.ndim(new):
            assert len(np.unique(place)) == len(place), "which of several values a place gets is not defined"
        self._array[place] = new

    def astype(self, dtype: Any) -> DeviceArray:
        return self._device.wrapped(self._array.astype(dtype))

    def view(self, dtype: Any) -> DeviceArray:
        return self._device.wrapped(self._array.view(dtype))

    def reshape(self, *shape: int) -> DeviceArray:
        return self._device.wrapped(self._array.reshape(*shape))

    def sum(self) -> DeviceArray:
        return self._device.wrapped(self._array.sum())


def _inside(item: Any) -> Any:
    if isinstance(item, DeviceArray):
        return item._array
    assert isinstance(item, SCALARS), f"{type(item).__name__} meets an array of the device"
    return item


def _place(at: Any) -> Any:
    if isinstance(at, tuple):
        return tuple(map(_place, at))
    return at if at is None or isinstance(at, slice | int) else _inside(at)


class Cupy:
    """The functions of cupy that are alike in numpy, over arrays of a device; there are no others."""

    ndarray = DeviceArray

    def __init__(self, device: HostDevice) -> None:
        self._device = device
        for name in ("zeros", "ones", "full", "arange"):
            setattr(self, name, self._maker(getattr(np, name)))
        for name in ("flatnonzero", "cumsum", "diff", "where", "minimum", "maximum", "bincount", "sort"):
            setattr(self, name, self._of(getattr(np, name)))

    def _maker(self, function: Any) -> Any:
        return lambda *arguments, **keywords: self._device.wrapped(function(*arguments, **keywords))

    def _of(self, function: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> DeviceArray:
            assert isinstance(arguments[0], DeviceArray), f"cupy.{function.__name__} of the host's"
            keywords = {name: value if isinstance(value, type) else _inside(value)
                        for name, value in keywords.items()}  # fmt: skip
            return self._device.wrapped(function(*map(_inside, arguments), **keywords))

        return call

    def empty(self, shape: Any, dtype: Any) -> DeviceArray:
        made = np.empty(shape, dtype)
        made.view(np.uint8)[...] = 0xA5
        return self._device.wrapped(made)

    def empty_like(self, array: DeviceArray) -> DeviceArray:
        return self.empty(array.shape, array.dtype)

    def concatenate(self, arrays: Any) -> DeviceArray:
        arrays = list(arrays)
        assert all(isinstance(item, DeviceArray) for item in arrays)
        return self._device.wrapped(np.concatenate([item._array for item in arrays]))

    def stack(self, arrays: Any) -> DeviceArray:
        assert len({item.dtype for item in arrays}) == 1
        return self._device.wrapped(np.stack([_inside(item) for item in arrays]))

    def searchsorted(self, array: DeviceArray, values: Any, side: Any = "left") -> DeviceArray:
        assert isinstance(values, DeviceArray | int | float), "cupy takes its arrays and Python's numbers"
        return self._device.wrapped(np.searchsorted(array._array, _inside(values), side))

    def argsort(self, array: DeviceArray, kind: str | None = None) -> DeviceArray:
        assert kind in (None, "stable") and array.ndim == 1
        self._device.require(3 * array.nbytes)  # a copy, and room for the sort
        return self._device.wrapped(np.argsort(array._array, kind="stable"))

    def lexsort(self, keys: DeviceArray) -> DeviceArray:
        assert isinstance(keys, DeviceArray) and keys.ndim == 2
        self._device.require(2 * keys.nbytes)
        return self._device.wrapped(np.lexsort(keys._array))

    def unique(self, array: DeviceArray, return_inverse: bool = False, return_counts: bool = False) -> Any:
        assert isinstance(array, DeviceArray) and array.ndim == 1
        self._device.require(3 * array.nbytes)
        asked: dict[str, Any] = {"return_inverse": return_inverse, "return_counts": return_counts}
        result = np.unique(array._array, **asked)
        if isinstance(result, tuple):
            return tuple(map(self._device.wrapped, result))
        return self._device.wrapped(result)
