"""What this machine can close around a transform: a filter of system calls, Landlock, bubblewrap.

The filter must be there: it lets nothing be opened, made, reached or signalled. Landlock and bubblewrap stand
behind it where they can: a fault of one layer then opens nothing.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from forge_gpu.errors import ForgeError
from forge_gpu.plain import frozen

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LANDLOCK_CREATE, LANDLOCK_VERSION = 444, 1
PROBE_SECONDS = 10


class SandboxError(ForgeError):
    """A transform that cannot be run, or that ended its process, took too long, too much, or lied."""


@frozen
class Layers:
    """filter: a file of `filters`, None where there is none for this machine. landlock: its version, 0 where
    it is not there. bubblewrap: its path, None where it is not there or cannot run."""

    filter: Mapping[str, Any] | None
    landlock: int
    bubblewrap: str | None

    @property
    def names(self) -> list[str]:
        """For the manifest."""
        named = {"filter": self.filter, "landlock": self.landlock, "bubblewrap": self.bubblewrap}
        return [name for name, layer in named.items() if layer]

    def require(self) -> None:
        """Raises SandboxError where files could not be closed to a transform."""
        if self.filter is None:
            raise SandboxError(
                f"a transform cannot run here: the kernel ({platform.system()}, {platform.machine()}) takes "
                "no filter of system calls that Forge has; run it on Linux on x86_64 or aarch64"
            )


@cache
def read_layers() -> Layers:
    """What this machine has; bubblewrap is tried, since containers often forbid it."""
    if sys.platform != "linux":
        return Layers(None, 0, None)
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(LANDLOCK_CREATE, None, 0, LANDLOCK_VERSION)
    return Layers(_read_filter(libc), max(version, 0), _find_bubblewrap())


def _read_filter(libc: ctypes.CDLL) -> Mapping[str, Any] | None:
    path = files("forge_gpu.sandbox") / "filters" / f"{platform.machine()}.json"
    if not path.is_file() or sys.maxsize < 2**32:
        return None
    # A kernel that takes filters looks for this one at address 0, and says that nothing is there.
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None, 0, 0) == 0 or ctypes.get_errno() != errno.EFAULT:
        return None
    result: Mapping[str, Any] = json.loads(path.read_text())
    return result


def _find_bubblewrap() -> str | None:
    path = shutil.which("bwrap")
    if path is None:
        return None
    try:
        tried = subprocess.run(
            [*bubblewrap_command(path), "--", python(), "-S", "-c", ""],
            capture_output=True,
            timeout=PROBE_SECONDS,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if tried.returncode == 0 else None


def bubblewrap_command(path: str, packages: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Up to the program: no network, no other process; of files those of Python, Forge and these packages,
    read-only. packages: name -> the folder that it lies in."""
    command = [
        path,
        "--unshare-all",
        "--unshare-user",
        "--uid",
        "65534",
        "--gid",
        "65534",
        "--hostname",
        "sandbox",
    ]
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for folder in [*_read_only(), *_libraries(packages)]:
        command += ["--ro-bind-try", folder, folder]
    return [*command, "--chdir", "/", "--remount-ro", "/"]


def _read_only() -> Iterator[str]:
    """What Python needs to start, and Forge's own package."""
    yield from ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
    yield from sorted(
        {sys.base_prefix, sys.base_exec_prefix, os.path.dirname(python())} - {"/usr", "/usr/bin"}
    )
    yield str(Path(__file__).parents[1])


def _libraries(packages: Mapping[str, str]) -> Iterator[str]:
    """Packages, and beside each what its wheel brings along; a module of one file."""
    for name, folder in packages.items():
        yield os.path.join(folder, name)
        yield os.path.join(folder, f"{name}.libs")
        yield from sorted(glob.glob(os.path.join(glob.escape(folder), f"{name}.*")))


def python() -> str:
    """The interpreter itself, without a virtual environment around it."""
    return os.path.realpath(sys.executable)


def describe(layers: Layers) -> list[str]:
    """A line for each layer: there, or what it lacks."""
    lines = []
    if layers.filter is None:
        lines.append("filter of system calls: none for this machine; transforms are refused")
    else:
        lines.append(
            f"filter of system calls: {platform.machine()}, {len(layers.filter['allowed'])} calls allowed"
        )
    lines.append(
        f"Landlock: version {layers.landlock}" if layers.landlock else "Landlock: not in this kernel"
    )
    if layers.bubblewrap:
        lines.append(f"bubblewrap: {layers.bubblewrap}")
    elif shutil.which("bwrap"):
        lines.append("bubblewrap: cannot run here (no user namespaces, as in most containers); not needed")
    else:
        lines.append("bubblewrap: not installed; not needed, a third wall with: apt-get install bubblewrap")
    return lines
