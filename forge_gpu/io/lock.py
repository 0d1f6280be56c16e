"""One run at a time on an output folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.disk import output_fault


class FolderLock:
    """Held by one process for a `with` block; freed by the kernel if the process dies.

    wait: seconds to wait for another run to end, None for no bound, 0 to fail at once. on_wait is called
    once, before waiting, with a line that says who holds the lock; check_stop while waiting, and raises to
    stop. Raises OutputError.
    """

    name = ".forge.lock"
    poll = 0.2  # seconds between two attempts

    def __init__(
        self,
        folder: Path,
        wait: float | None = None,
        on_wait: Callable[[str], None] = lambda line: None,
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = folder / self.name
        self._wait = wait
        self._on_wait = on_wait
        self._check_stop = check_stop
        self._descriptor = -1

    def __enter__(self) -> FolderLock:
        make_folder(self._path.parent)
        deadline = None if self._wait is None else time.monotonic() + self._wait
        is_announced = False
        while not self._try():
            holder = self._holder()
            if deadline is not None and time.monotonic() >= deadline:
                raise OutputError(
                    f"{self._path.parent}: {holder} writes here; wait for it to end or choose another "
                    "output folder"
                )
            if not is_announced:
                self._on_wait(f"{self._path.parent}: waiting for {holder} to end")
                is_announced = True
            self._check_stop()
            time.sleep(self.poll)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._path.unlink(missing_ok=True)  # while it is held: who opened it before sees that it is gone
        except OSError as left:
            if fault is None:
                raise output_fault(left, self._path) from left
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as fault:
            raise output_fault(fault, self._path) from fault
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as fault:
            os.close(descriptor)
            if fault.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise OutputError(
                    f"{self._path.parent}: this file system has no locks; choose an output folder on another"
                ) from fault
            raise output_fault(fault, self._path) from fault
        if not self._still_named(descriptor):
            os.close(descriptor)
            return False
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        except OSError as fault:
            os.close(descriptor)
            raise output_fault(fault, self._path) from fault
        self._descriptor = descriptor
        return True

    def _still_named(self, descriptor: int) -> bool:
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        held = os.fstat(descriptor)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _holder(self) -> str:
        try:
            holder = json.loads(self._path.read_bytes())
            return f"another run (process {holder['pid']} on {holder['host']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another run"
