"""Functions of `kernels/cpu` for a device: there is one source of them.

`ported` makes a device function of the very code of a function, and of all that it calls; a few names stand
for something else in it, by what is given as `instead`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from numba import config

from forge_gpu.kernels.cuda.buffers import apart
from forge_gpu.kernels.cuda.device import function

OURS = "forge_gpu.kernels."
LARGE = 300
"""Bytes of Python's code of a function, above which it is called and not made part of its callers: inlined
everywhere, the template VM is 2.0 MB of PTX instead of 1.1, which ptxas takes five times as long for."""


class Ported:
    """instead: what names of `kernels/cpu` stand for on a device."""

    def __init__(self, instead: Mapping[str, Any]) -> None:
        self._instead = instead
        self._made: dict[Any, Any] = {}

    def __call__(self, of_cpu: Callable[..., Any]) -> Any:
        """The function of a device with the code of one of the CPU's, made once."""
        plain = getattr(of_cpu, "py_func", of_cpu)
        if not isinstance(plain, FunctionType):
            raise TypeError(f"nothing stands for {of_cpu!r} on a device")
        if plain not in self._made:
            names = {
                name: self._value(plain, name)
                for name in plain.__code__.co_names
                if name in plain.__globals__
            }
            twin = FunctionType(plain.__code__, names, plain.__name__, plain.__defaults__)
            names["__name__"] = twin.__module__ = plain.__module__
            self._made[plain] = self._compiled(twin)
        return self._made[plain]

    def _compiled(self, twin: FunctionType) -> Any:
        if config.ENABLE_CUDASIM:
            return twin
        made = function(twin)
        return apart(made) if len(twin.__code__.co_code) > LARGE else made

    def extended(self, instead: Mapping[str, Any]) -> Ported:
        """For functions in which more names stand for something; what was made so far has none of them."""
        more = Ported({**self._instead, **instead})
        more._made.update(self._made)
        return more

    def _value(self, plain: FunctionType, name: str) -> Any:
        value = plain.__globals__[name]
        if name in self._instead:
            return self._instead[name]
        calls = callable(value) and getattr(value, "__module__", "").startswith(OURS)
        return self(value) if calls and not isinstance(value, type) else value
