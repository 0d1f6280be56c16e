"""What the host lets this process use: cores, memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from forge_gpu.hardware import cgroup
from forge_gpu.plain import frozen


@frozen
class Cores:
    """`allowed` is what may run at once: the affinity mask, cut by the group's quota, at least 1."""

    allowed: int
    installed: int
    quota: float | None  # cores' worth of time, of the control group


@frozen
class Memory:
    """Bytes. `total` and `available` heed the control group's limit, where there is one."""

    total: int
    available: int
    limit: int | None  # of the control group; None: none, or above what the machine has


@frozen
class Disk:
    folder: str
    free: int  # bytes


def read_cores(root: Path = Path("/")) -> Cores:
    """Raises OSError where the system does not say."""
    installed = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else installed
    quota = cgroup.cpu_quota(root)
    allowed = affinity if quota is None else min(affinity, int(quota))  # a part of a core throttles a thread
    return Cores(max(1, allowed), installed, quota)


def read_memory(root: Path = Path("/")) -> Memory:
    """Raises OSError or psutil.Error where the system does not say."""
    total, available = _of_machine()
    limit, headroom = cgroup.memory_limit(root), cgroup.memory_headroom(root)
    if limit is None or headroom is None or limit >= total:
        return Memory(total, available, None)
    return Memory(limit, min(available, headroom), limit)


def _of_machine() -> tuple[int, int]:
    """Bytes of memory, and those that are available: as Linux says, or elsewhere psutil, whose import takes
    longer than all that is asked here."""
    try:
        said = Path("/proc/meminfo").read_text()
        lines = dict(line.split(":", 1) for line in said.splitlines())
        total, available = (int(lines[name].split()[0]) << 10 for name in ("MemTotal", "MemAvailable"))
    except (OSError, LookupError, ValueError):
        import psutil

        machine = psutil.virtual_memory()
        return machine.total, machine.available
    return total, available


def read_disk(folder: Path) -> Disk:
    """Free bytes where `folder` is, or will be: the nearest parent that exists is asked. Raises OSError."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return Disk(str(existing), shutil.disk_usage(existing).free)
