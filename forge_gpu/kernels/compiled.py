"""How CPU kernels are compiled and where the compiled code is kept.

Numba's own cache does not notice an edit in a file that a cached kernel calls, so the cache folder is
keyed by a digest of every kernel source, the numba and LLVM versions, the processor and the checked mode.
The folder is set only while a kernel is decorated: no other numba user of the process is touched.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import llvmlite
import llvmlite.binding
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

CHECKED = os.environ.get("FORGE_CHECKED_KERNELS", "0") == "1"
"""Checked mode: every byte access of a kernel is compared with its buffer and raises IndexError outside."""


@cache
def cache_folder() -> Path:
    """The folder of the compiled kernels: under FORGE_CACHE_DIR, else the user's cache, else temporary.

    Numba's index files are pickles: loading one runs what it says. So a folder is used where nobody but this
    user and root can have put one there, and a fresh private one where that is not so.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.relative_to(Path(__file__).parent).as_posix().encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    for part in (
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        *_processor(),
    ):
        digest.update(part.encode() + b"\0")
    name = digest.hexdigest()[:16] + ("-checked" if CHECKED else "")
    for root in _candidate_roots():
        folder = root.absolute() / "kernels" / name
        with suppress(OSError):
            for made in (*reversed(folder.parents), folder):
                made.mkdir(0o700, exist_ok=True)
        if _is_trusted(folder) and (os.access(folder, os.W_OK) or any(folder.rglob("*.nbi"))):
            return folder
    return Path(tempfile.mkdtemp(prefix="forge-kernels-"))


def _processor() -> tuple[str, str]:
    """Name and features of the processor that numba compiles for: this one, unless it is told another."""
    name, features = numba_config.CPU_NAME, numba_config.CPU_FEATURES
    return (
        llvmlite.binding.get_host_cpu_name() if name is None else name,
        llvmlite.binding.get_host_cpu_features().flatten() if features is None else features,
    )


def _is_trusted(folder: Path) -> bool:
    """Whether a folder, all that is in it and every folder above it belong to this user or root, and nobody
    else may write there. In a folder with the sticky bit, as /tmp is, others cannot replace what is ours."""
    try:
        real = folder.resolve(strict=True)
        above = all(_is_ours(path, is_above=True) for path in (*folder.parents, *real.parents))
        inside = [path for where, *names in os.walk(real) for path in _paths(where, *names)]
        closed = not real.stat().st_mode & 0o077  # whatever the files' modes, nobody else comes to them
        return above and _is_ours(real) and all(_is_ours(path, may_share=closed) for path in inside)
    except OSError:
        return False


def _paths(where: str, folders: list[str], files: list[str]) -> list[Path]:
    return [Path(where, name) for name in (*folders, *files)]


def _is_ours(path: Path, is_above: bool = False, may_share: bool = False) -> bool:
    status = path.stat() if is_above else path.lstat()
    ours = status.st_uid in (os.geteuid(), 0) and not stat.S_ISLNK(status.st_mode)
    if may_share or (is_above and status.st_mode & stat.S_ISVTX):
        return ours
    return ours and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _candidate_roots() -> list[Path]:
    named = os.environ.get("FORGE_CACHE_DIR")
    if named:
        return [Path(named)]
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        user = Path(home) if home else Path.home() / ".cache"
    except RuntimeError:  # no home folder, as in a container with a bare uid
        user = Path(tempfile.gettempdir())
    return [user / "forge_gpu"]


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


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` for this processor on its first call: no GIL, C arithmetic, cached on disk."""
    dispatcher = numba.njit(nogil=True, error_model="numpy", boundscheck=CHECKED)(function)
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(cache_folder())
    try:
        dispatcher._cache = _KernelCache(function)
    finally:
        numba_config.CACHE_DIR = before
    return _without_extensions(dispatcher)


def inner(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of the kernels that call it: nothing else can call it."""
    return _without_extensions(
        numba.njit(
            nogil=True,
            error_model="numpy",
            boundscheck=CHECKED,
            no_cpython_wrapper=True,
            no_cfunc_wrapper=True,
            pipeline_class=_InnerCompiler,
        )(function)
    )


def _without_extensions(dispatcher: Any) -> Any:
    """Kernels take arrays and numbers alone. Numba would first import whatever installed package extends it,
    as awkward does, which takes longer than a small job."""
    dispatcher._compilation_chain_init_hook = lambda: None
    return dispatcher
