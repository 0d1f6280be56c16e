"""Where compiled kernels are kept: a folder that nobody but the user and root can write to.

Numba's own cache does not notice an edit in a file that a cached kernel calls, so the folder is keyed by a
digest of every kernel source, the versions of numba and LLVM, the machine with its processor, and the checked
mode.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

CHECKED = os.environ.get("FORGE_CHECKED_KERNELS", "0") == "1"
"""Checked mode: every byte access of a kernel is compared with its buffer and raises IndexError outside."""

KERNELS = Path(__file__).parent


@cache
def cache_folder() -> Path:
    """The folder of the compiled kernels: under FORGE_CACHE_DIR, else the user's cache, else temporary.

    Numba's index files are pickles: loading one runs what it says. So a folder is used where nobody but this
    user and root can have put one there, and a fresh private one where that is not so.
    """
    digest = hashlib.sha256(sources().encode())
    versions = version("numba"), version("llvmlite"), platform.python_version()
    for part in (*versions, platform.machine(), processor()):
        digest.update(part.encode() + b"\0")
    name = digest.hexdigest()[:16] + ("-checked" if CHECKED else "")
    for root in _candidate_roots():
        folder = root.absolute() / "kernels" / name
        with suppress(OSError):
            for made in (*reversed(folder.parents), folder):
                made.mkdir(0o700, exist_ok=True)
        if _is_trusted(folder) and (os.access(folder, os.W_OK) or any(folder.iterdir())):
            return folder
    return Path(tempfile.mkdtemp(prefix="forge-kernels-"))


@cache
def sources() -> str:
    """A digest of all that the machine code of the CPU's kernels depends on."""
    return digest_of(path for path in KERNELS.rglob("*.py") if not _is_apart(path))


def digest_of(files: Iterable[Path]) -> str:
    """Of the names and contents of some sources of kernels."""
    digest = hashlib.sha256()
    for source in sorted(files):
        digest.update(source.relative_to(KERNELS).as_posix().encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    return digest.hexdigest()


def _is_apart(source: Path) -> bool:
    return source.parent.name == "cuda" or source.name in ("ahead.py", "cache.py", "compiled.py")


def processor() -> str:
    """What kernels are compiled for: this processor, unless numba's variables name another."""
    named = [os.environ.get(name) for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")]
    return "\n".join(own_processor() if None in named else map(str, named))


_TELLING = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
"""What differs between processors and not between the cores of one, in /proc/cpuinfo."""


@cache
def own_processor() -> tuple[str, ...]:
    """This machine's processor, in lines that differ where another instruction set may."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError:
        lines = []
    told = tuple(line for line in lines if line.split("\t", 1)[0].strip() in _TELLING)
    return told or (platform.machine(), platform.processor())


def _is_trusted(folder: Path) -> bool:
    """Whether a folder, all that is in it and every folder above it belong to this user or root, and nobody
    else may write there. In a folder with the sticky bit, as /tmp is, others cannot replace what is ours."""
    try:
        real = folder.resolve(strict=True)
        above = all(_is_ours(path, is_above=True) for path in (*folder.parents, *real.parents))
        inside = [
            os.path.join(where, name) for where, *names in os.walk(real) for name in itertools.chain(*names)
        ]
        closed = not real.stat().st_mode & 0o077  # whatever the files' modes, nobody else comes to them
        return above and _is_ours(real) and all(_is_ours(path, may_share=closed) for path in inside)
    except OSError:
        return False


def _is_ours(path: Path | str, is_above: bool = False, may_share: bool = False) -> bool:
    status = os.stat(path, follow_symlinks=is_above)
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
