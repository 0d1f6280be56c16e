"""What this process holds: for events, results and backpressure."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_STATM = Path("/proc/self/statm")


def peak_memory() -> int:
    """The most resident memory this process ever had, in bytes.

    Not `ru_maxrss` where the system says more: a process begins with that of the one which started it.
    """
    return _of_status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int:
    """Bytes of resident memory, now. 0 where unknown."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def anonymous_memory() -> int:
    """Bytes of resident memory that belong to no file, now: what a budget is about. 0 where unknown."""
    return _of_status("RssAnon:")


def _of_status(name: str) -> int:
    """Bytes, as the system's status of this process has them; 0 where it has none (proc_pid_status(5))."""
    try:
        with open(
            _STATUS, "rb", buffering=0
        ) as file:  # without a buffer and a decoder: it is asked at every chunk
            status = file.readall().decode("ascii", "replace")
    except OSError:
        return 0
    _, _, found = status.partition(f"\n{name}")
    return int(found.split(None, 1)[0]) * 1024 if found else 0


def shortage_of(budget_bytes: int) -> Callable[[], bool]:
    """A question to ask later: has this process taken more than `budget_bytes` beyond what it holds now?"""
    before = anonymous_memory()
    return lambda: anonymous_memory() - before > budget_bytes
