"""Kernels compiled by numba on their first call, and kept in `cache.cache_folder()`.

The folder is set only while a kernel is decorated: no other numba user of the process is touched.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba import _dynfunc
from numba.core import config as numba_config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.runtime import rtsys
from numba.core.typed_passes import InlineOverloads, NativeLowering, NopythonRewrites
from numba.core.untyped_passes import InlineClosureLikes

from forge_gpu.kernels.ahead import is_ours, name_of
from forge_gpu.kernels.cache import CHECKED, cache_folder


class _InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
    """LLVM IR that is optimised and made machine code only within the kernels it is linked into."""

    def add_llvm_module(self, module: Any) -> None:
        self._final_module.link_in(module)

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):  # type: ignore[misc]
    """Lowers a function to LLVM IR for its callers' libraries; as numba's own, but for machine code."""

    _name = "inner_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _InnerLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        name = state.func_id.func_name
        entry = _dynfunc.make_function(inspect.getmodule(inner), name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(entry, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=entry)
        return True


class _InnerCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's passes, but for the lowering, and those that are about expressions of arrays and closures."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_InnerLowering, NativeLowering)
        left_out = (NativeLowering, NopythonRewrites, InlineClosureLikes, InlineOverloads)
        passes.passes = [(step, about) for step, about in passes.passes if step not in left_out]
        passes.finalize()
        return [passes]


class _Locator(UserProvidedCacheLocator):  # type: ignore[misc]
    """Our folder, be it one that this user may only read."""

    def ensure_cache_path(self) -> None:
        with suppress(OSError):
            super().ensure_cache_path()


class _Files(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes: ClassVar[list[type]] = [_Locator]


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache, without its import of the whole compiler before machine code is loaded. A kernel that
    cannot be kept is compiled again by the next run."""

    _impl_class = _Files

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Numba's caches that are made meanwhile lie in a folder."""
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba_config.CACHE_DIR = before


OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": CHECKED}

KERNELS: dict[str, Any] = {}
"""What `kernel` was called for in the kernels' own modules, by ahead.name_of."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` for this processor on its first call: no GIL, C arithmetic, cached on disk."""
    dispatcher = numba.njit(**OPTIONS)(function)
    if is_ours(function):
        KERNELS[name_of(function)] = dispatcher
    with kept_in(cache_folder()):
        dispatcher._cache = _KernelCache(function)
    return _without_extensions(dispatcher)


def inner(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of the kernels that call it: nothing else can call it."""
    return _without_extensions(
        numba.njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=_InnerCompiler)(
            function
        )
    )


def _without_extensions(dispatcher: Any) -> Any:
    """Kernels take arrays and numbers alone. Numba would first import whatever installed package extends it,
    as awkward does, which takes longer than a small job."""
    dispatcher._compilation_chain_init_hook = lambda: None
    return dispatcher
