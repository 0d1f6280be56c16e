"""Compiled CUDA kernels on disk: numba's cache, by types, capability and runtime, within that of the CPU's.

Theirs is keyed by a digest of every kernel's source, as numba looks only at the file of the kernel itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import config

from forge_gpu.kernels.cache import KERNELS, cache_folder, digest_of
from forge_gpu.kernels.jit import kept_in


def keep(dispatcher: Any, definition: Callable[..., Any]) -> None:
    """Have what the kernel is compiled to loaded from disk by later runs. The simulator compiles nothing."""
    if not config.ENABLE_CUDASIM:
        with kept_in(_folder()):
            dispatcher._cache = _cache_class()(definition)


@cache
def _folder() -> Path:
    return cache_folder() / f"cuda-{digest_of(KERNELS.rglob('*.py'))[:16]}"


def _cache_class() -> type:
    """Of the numba.cuda that is installed: the simulator has none."""
    from numba.cuda import dispatcher

    class Locator(dispatcher.CUDACacheImpl._locator_classes[0]):  # type: ignore[misc,name-defined]
        """Our folder, be it one that this user may only read."""

        def ensure_cache_path(self) -> None:
            with suppress(OSError):
                super().ensure_cache_path()

    class Files(dispatcher.CUDACacheImpl):  # type: ignore[misc,name-defined]
        _locator_classes = [Locator]  # noqa: RUF012

    class KernelCache(dispatcher.CUDACache):  # type: ignore[misc,name-defined]
        _impl_class = Files

        def save_overload(self, sig: Any, data: Any) -> None:
            with suppress(OSError):
                super().save_overload(sig, data)

    return KernelCache
