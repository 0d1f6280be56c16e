"""How CPU kernels are compiled and where the compiled code is kept.

Numba's own cache does not notice an edit in a file that a cached kernel calls, so the cache folder is
keyed by a digest of every kernel source, the numba and LLVM versions, the processor and the checked mode.
The folder is set only while a kernel is decorated: no other numba user of the process is touched.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
from numba.core import config as numba_config

CHECKED = os.environ.get("FORGE_CHECKED_KERNELS", "0") == "1"
"""Checked mode: every byte access of a kernel is compared with its buffer and raises IndexError outside."""


@cache
def cache_folder() -> Path:
    """The folder of the compiled kernels: under FORGE_CACHE_DIR, else the user's cache, else temporary."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.relative_to(Path(__file__).parent).as_posix().encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    for part in (
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        llvmlite.binding.get_host_cpu_name(),
    ):
        digest.update(part.encode() + b"\0")
    digest.update(llvmlite.binding.get_host_cpu_features().flatten().encode())
    name = digest.hexdigest()[:16] + ("-checked" if CHECKED else "")
    for root in _candidate_roots():
        folder = root / "kernels" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="forge-kernels-"))


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


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` for this processor on its first call: no GIL, C arithmetic, cached on disk."""
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(cache_folder())
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=CHECKED)(function)
    finally:
        numba_config.CACHE_DIR = before
