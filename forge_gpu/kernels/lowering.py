"""The names of numba and llvmlite with which kernels are lowered to LLVM IR.

Where all kernels are in a library nothing is lowered, and neither package is imported, which takes longer
than a small job: each name then stands for something that can be called, derived from and asked for any
attribute, and does nothing.
"""

from __future__ import annotations

from typing import Any

from forge_gpu.kernels.compiled import LIBRARY


class _Nothing:
    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **named: Any) -> _Nothing:
        return self

    def __mul__(self, other: Any) -> _Nothing:
        return self

    __rmul__ = __mul__

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (_Nothing,)


if LIBRARY is None:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic, models, register_model
else:
    ir = types = cgutils = intrinsic = models = register_model = _Nothing()

__all__ = ["cgutils", "intrinsic", "ir", "models", "register_model", "types"]
