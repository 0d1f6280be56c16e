"""`kernel` and `inner`: what the functions of `cpu/` become. Machine code of the library that was compiled
ahead of time, where there is one (`ahead.py`), or else of numba's on the first call (`jit.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forge_gpu.kernels import ahead

LIBRARY = ahead.library()
"""None: numba compiles."""


def kernel(function: Callable[..., Any]) -> Any:
    """Machine code for `function`: no GIL, C arithmetic."""
    if LIBRARY is not None and ahead.is_ours(function):
        return LIBRARY.kernel(function)
    from forge_gpu.kernels import jit

    return jit.kernel(function)


def inner(function: Callable[..., Any]) -> Any:
    """`function` as a part of the kernels that call it: nothing else can call it."""
    if LIBRARY is not None and ahead.is_ours(function):
        return function
    from forge_gpu.kernels import jit

    return jit.inner(function)
