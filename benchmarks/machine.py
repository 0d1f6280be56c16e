"""The machine that figures come from, and how busy it was."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

import forge_gpu
from benchmarks.contenders import ROOT


def describe() -> dict[str, Any]:
    """Processor, memory, system, versions and load, as JSON values."""
    return {
        "processor": _processor(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_limit_bytes": _memory_limit(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "forge": forge_gpu.__version__,
        "commit": _commit(),
        "load_before": round(os.getloadavg()[0], 2),
        "gpu": _gpu(),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_limit() -> int | None:
    """The cgroup's limit, v2 or v1; None where there is none (v1 says so with a huge number)."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = Path(path).read_text().strip()
        except OSError:
            continue
        return int(limit) if limit.isdigit() and int(limit) < psutil.virtual_memory().total else None
    return None


def _commit() -> str:
    """The commit that is checked out, with a `+` where files differ from it; empty without git."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return result.stdout.strip()


def _gpu() -> str | None:
    """Name of the first GPU; None without one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    except Exception:  # NVML raises many things where there is no driver; all of them mean no GPU
        return None
    return str(name)
