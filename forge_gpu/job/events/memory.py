"""What this process holds: for events, results and backpressure."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

_STATUS, _STATM = "/proc/self/status", "/proc/self/statm"
_PAGE = os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int:
    """The most resident memory this process ever had, in bytes.

    Not `ru_maxrss` where the system says more: a process begins with that of the one which started it.
    """
    return _of_status(b"\nVmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int:
    """Bytes of resident memory, now. 0 where unknown."""
    return _of_statm()[0]


def anonymous_memory() -> int:
    """Bytes of resident memory that belong to no file, now: what a budget is about. 0 where unknown."""
    resident, of_files = _of_statm()
    return resident - of_files


def _of_statm() -> tuple[int, int]:
    """Bytes of resident memory, and how many of them are of files or shared (proc_pid_statm(5))."""
    fields = _read(_STATM).split()
    if len(fields) < 3:
        return 0, 0
    return int(fields[1]) * _PAGE, int(fields[2]) * _PAGE


def _of_status(name: bytes) -> int:
    """Bytes, as the system's status of this process has them; 0 where it has none (proc_pid_status(5))."""
    _, found, rest = _read(_STATUS).partition(name)
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def _read(path: str) -> bytes:
    """A small file of the system's, with as little as possible between: this is asked for each chunk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 2**14)
    finally:
        os.close(descriptor)


def shortage_of(budget_bytes: int) -> Callable[[], bool]:
    """A question to ask later: has this process taken more than `budget_bytes` beyond what it holds now?"""
    before = anonymous_memory()
    return lambda: anonymous_memory() - before > budget_bytes
