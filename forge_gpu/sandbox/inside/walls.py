"""What the process closes for itself, for good, before the script's first byte is compiled.

Sources: the manual pages seccomp(2), landlock(7), prctl(2); the kernel's uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from typing import Any

NOBODY = 65534
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files a version of Landlock knows; later ones know 16."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def limit(memory: int, seconds: int) -> None:
    """Bounds of address space, processor time and files. They bind the imports as well."""
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 2**16,  # the last words of an interpreter that ends itself
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
        resource.RLIMIT_NOFILE: 64,
    }
    for name, bound in bounds.items():
        most = resource.getrlimit(name)[1]
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(name, (bound, bound))


def close(landlock: int, architecture: dict[str, Any]) -> None:
    """Give up rights, then close files by Landlock (0: there is none) and all else by the filter.

    architecture: a file of `filters`. Raises OSError where the kernel refuses.
    """
    _drop_rights()
    _ask("prctl", _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _ask("prctl", _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if landlock:
        _close_files(landlock)
    _filter(architecture)


def _drop_rights() -> None:
    """Whoever is root becomes nobody, unless a container has taken the right to."""
    if os.geteuid() != 0:
        return
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        pass


def _close_files(version: int) -> None:
    """A ruleset that handles every right there is and grants none: over files, ports, sockets, signals."""
    files = 2 ** FILE_RIGHTS.get(version, 16) - 1
    ports, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = struct.pack("<QQQ", files, ports, scopes)[:size]
    ruleset = _ask("landlock", _libc.syscall(LANDLOCK_CREATE, rules, size, 0))
    _ask("landlock", _libc.syscall(LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _filter(architecture: dict[str, Any]) -> None:
    steps = b"".join(struct.pack("=HBBI", *step) for step in architecture["program"])
    held = ctypes.create_string_buffer(steps, len(steps))
    program = _Program(len(steps) // 8, ctypes.addressof(held))
    call = (architecture["seccomp"], SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC)
    _ask("seccomp", _libc.syscall(*call, ctypes.byref(program)))


def _ask(what: str, answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), what)
    if what == "seccomp" and answer > 0:
        raise OSError(1, "seccomp: a thread could not be closed in")
    return answer
