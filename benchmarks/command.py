"""Running a whole command and measuring it from outside. Standard library only, as the runner is."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """What a task returns that does its own measuring, such as one that starts a process.

    seconds: wall time; cpu: user and system seconds; peak: resident bytes.
    """

    seconds: float
    cpu: float
    peak: int
    result: Any = None


def spawn(argv: list[str], environment: dict[str, str] | None = None) -> Measured:
    """Run a command to its end and measure it. Raises RuntimeError with its last words if it fails.

    Its peak is honest only from a small process like this one: a child's account begins with its parent's.
    """
    began = time.perf_counter()
    pid, errors = _start(argv, environment)
    with open(errors, "rb") as file:
        last_words = file.read().decode(errors="replace")[-400:]
    return _end(argv, pid, began, 0, last_words)


def spawn_and_kill(argv: list[str], after: float) -> Measured:
    """Run a command and kill it after some seconds. Raises RuntimeError if it ended by itself before."""
    began = time.perf_counter()
    pid, errors = _start(argv, None)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    os.close(errors)
    return _end(argv, pid, began, -signal.SIGKILL, "")


def _start(argv: list[str], environment: dict[str, str] | None) -> tuple[int, int]:
    """(process, what it says on stderr). Python may keep its bytecode, as it does for users: a machine that
    forbids it would have what is not installed by a wheel compiled at every start."""
    keeping = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    errors, writing = os.pipe()
    quiet = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, quiet, fd) for fd in (0, 1)] + [(os.POSIX_SPAWN_DUP2, writing, 2)]
    try:
        pid = os.posix_spawnp(argv[0], argv, keeping | (environment or {}), file_actions=actions)
    finally:
        os.close(writing)
        os.close(quiet)
    return pid, errors


def _end(argv: list[str], pid: int, began: float, required: int, last_words: str) -> Measured:
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    if code != required:
        raise RuntimeError(f"{' '.join(argv)}: status {code} where {required} was due: {last_words}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
