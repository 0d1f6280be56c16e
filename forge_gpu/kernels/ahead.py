"""Kernels compiled ahead of time: the machine code of all of them in one library, called without numba.

`kernels.so` has each kernel's native function as numba makes it; `kernels.json` beside it says how each is
called, and what the library was made from. `build.py` makes both, of the same functions that numba compiles
on a first call where there is no library.

Source: numba's calling convention (numba/core/callconv.py, CPUCallConv): a pointer to the result, one to the
exception, then all arguments; a tuple is its items, an array its memory's owner, its parent, size, size of an
item, address, shape and strides.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from forge_gpu.kernels.cache import CHECKED, KERNELS, cache_folder, own_processor, sources
from forge_gpu.plain import frozen

LIBRARY, TABLE = "kernels.so", "kernels.json"

SHIPPED = "ahead"
"""The folder of the package in which a wheel carries libraries, a folder for each level of processors."""


@frozen
class _Scalar:
    """An argument or result that is a number: what Python makes it, and how C takes it."""

    made: type
    c: type

    def c_types(self) -> list[type]:
        return [self.c]

    def words(self, value: Any) -> list[Any]:
        return [self.made(value)]


SCALARS = {
    "int64": _Scalar(int, ctypes.c_int64),
    "uint64": _Scalar(int, ctypes.c_uint64),
    "bool": _Scalar(bool, ctypes.c_bool),
    "float64": _Scalar(float, ctypes.c_double),
}
"""By the table's name, which is numba's."""


@frozen
class _Array:
    """An argument that is a C-contiguous array."""

    dtype: np.dtype[Any]
    dimensions: int

    def c_types(self) -> list[type]:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        return [pointer, pointer, number, number, pointer, *(2 * self.dimensions * [number])]

    def words(self, value: Any) -> list[Any]:
        if value.dtype != self.dtype or value.ndim != self.dimensions or not value.flags.c_contiguous:
            raise TypeError(f"a kernel takes {self}, not {value.ndim} dimensions of {value.dtype}")
        return [None, None, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]


@frozen
class _Tuple:
    """An argument that is a tuple, or all arguments."""

    items: Sequence[Any]

    def c_types(self) -> list[type]:
        return [c for item in self.items for c in item.c_types()]

    def words(self, value: Any) -> list[Any]:
        return [word for kind, item in zip(self.items, value, strict=True) for word in kind.words(item)]


def parsed(
    spelled: Any,
    scalar: Callable[[str], Any],
    array: Callable[[str, int], Any],
    many: Callable[[list[Any]], Any],
) -> Any:
    """What the table says of an argument or result, "int64", "int64[2]" or a list of such, as what is made of
    a number's type, of an array's items and dimensions, and of several."""
    if isinstance(spelled, list):
        return many([parsed(item, scalar, array, many) for item in spelled])
    items, _, dimensions = spelled.rstrip("]").partition("[")
    return array(items, int(dimensions)) if dimensions else scalar(items)


def _kind(spelled: Any) -> Any:
    def array(items: str, dimensions: int) -> _Array:
        return _Array(np.dtype(items), dimensions)

    return parsed(spelled, SCALARS.__getitem__, array, _Tuple)


class _Kernel:
    """A kernel of the library: called as the function of numba is, and made ready when it first is."""

    def __init__(self, function: Any, arguments: list[Any], result: Any) -> None:
        self._function, self._spelled, self._many = function, (arguments, result), isinstance(result, list)

    @cached_property
    def _forms(self) -> tuple[_Tuple, type[ctypes.Structure], list[str]]:
        """(its arguments, what its results are written to, their fields)."""
        arguments, result = self._spelled
        taken: _Tuple = _kind(arguments)
        kinds = [] if result is None else [_kind(item) for item in (result if self._many else [result])]
        fields = [(f"item{k}", kind.c) for k, kind in enumerate(kinds)] or [("none", ctypes.c_void_p)]
        self._function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *taken.c_types()]
        self._function.restype = ctypes.c_int32
        written = type("Result", (ctypes.Structure,), {"_fields_": fields})
        return taken, written, [name for name, _ in fields[: len(kinds)]]

    def __call__(self, *arguments: Any) -> Any:
        taken, written, fields = self._forms
        result, fault = written(), ctypes.c_void_p()
        words = taken.words(arguments)
        status = self._function(ctypes.byref(result), ctypes.byref(fault), *words)
        if status:
            raise RuntimeError(f"a kernel ended with status {status}")
        items = tuple(getattr(result, field) for field in fields)
        return items if self._many else items[0] if items else None


@frozen
class Library:
    """A library that fits this version's kernels and this processor."""

    opened: ctypes.CDLL
    path: Path
    table: dict[str, Any]

    def kernel(self, function: Callable[..., Any]) -> Any:
        """What is called in place of a function of the kernels' modules."""
        name = name_of(function)
        spelled = self.table[name]
        return _Kernel(getattr(self.opened, symbol(name)), spelled["arguments"], spelled["result"])


def is_ours(function: Callable[..., Any]) -> bool:
    """Whether a library has it: others may make kernels too, as tests do."""
    return function.__module__.startswith("forge_gpu.kernels.cpu.")


def name_of(function: Callable[..., Any]) -> str:
    """A kernel as the table names it: "file.function"."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def symbol(name: str) -> str:
    """A kernel's function in the library."""
    return "forge_" + name.replace(".", "_")


def library() -> Library | None:
    """That of the cache, which `forge warm` makes, or else that of the package; None where there is none, in
    checked mode, and with FORGE_KERNELS=jit."""
    if CHECKED or os.environ.get("FORGE_KERNELS") == "jit":
        return None
    for folder in (cache_folder(), *sorted(KERNELS.joinpath(SHIPPED).glob("*"), reverse=True)):
        fitting = _fitting(folder)
        if fitting is not None:
            return fitting
    return None


def _fitting(folder: Path) -> Library | None:
    """The library of a folder, where it is whole, made of these kernels, and has no instruction too many."""
    try:
        table = json.loads((folder / TABLE).read_bytes())
        path = folder / LIBRARY
        fits = (
            table["machine"] == platform.machine()  # the flags of an emulated one may be those of its host
            and has_features(table["features"])
            and table["sources"] == sources()
            and table["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
        )
        # Opening fails in a process that lacks what the library calls.
        return Library(ctypes.CDLL(str(path)), path, table["kernels"]) if fits else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def has_features(features: Sequence[str]) -> bool:
    """Whether this processor has all of some flags of /proc/cpuinfo."""
    return {word for line in own_processor() for word in line.split()}.issuperset(features)
