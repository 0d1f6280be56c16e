"""A file that grows by what is appended, and that goes on at a position after a kill."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.disk import begin_writeback, output_fault, reserve
from forge_gpu.io.modes import file_mode
from forge_gpu.kernels.layout import U8

BEGIN_EVERY = 16 * 2**20
"""Bytes after which the disk is given what was written: little is left to wait for in the end."""

RESERVE_SHARE, RESERVE_MOST = 8, 64 * 2**20
"""Room is kept for an eighth of what a file has, and for so many bytes at most: a full disk is not in sight
of the check before a job while it is not nearly full."""

AT_ONCE = 2**30
"""Bytes that the system is asked to write or read in one call."""

Write = Callable[[], None]
"""Writes bytes that have their place; by any thread, while they are as they were. Raises OutputError."""


def write_all(writes: Iterable[Write]) -> None:
    for write in writes:
        write()


def _open_own(path: Path, resume_at: int, mode: int) -> int:
    """A descriptor of a file that is written under this name alone: through a link, or another name of the
    same file, someone else's would be. What is not gone on with is made anew. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    if not resume_at:
        path.unlink(missing_ok=True)
        return os.open(path, flags | os.O_EXCL, mode)
    descriptor = os.open(path, flags, mode)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.EEXIST, "is a link to another file", str(path))
    return descriptor


class GrowingFile:
    """A file at `path`, which is to become part of `of`, by whose name faults are told.

    resume_at: bytes of an earlier run that stay; what follows them is cut off. lasts: it will be synced; else
    it is for this run alone, nobody else may read it, and nothing has its disk begin. Raises OutputError.
    """

    def __init__(self, path: Path, resume_at: int = 0, of: Path | None = None, *, lasts: bool = True) -> None:
        self.path = path
        self._of = of or path
        self._lasts = lasts
        self._position = self._begun = self._reserved = resume_at
        make_folder(path.parent)
        try:
            self._descriptor = _open_own(path, resume_at, file_mode(path.parent) if lasts else 0o600)
            size = os.fstat(self._descriptor).st_size
        except OSError as fault:
            raise output_fault(fault, self._of) from fault
        if size < resume_at:
            self.close()
            raise OutputError(
                f"{path}: is shorter than its checkpoint says ({size} bytes, not {resume_at}); "
                "start anew with --fresh"
            )
        self.truncate(resume_at)

    def write(self, data: bytes | memoryview | U8) -> None:
        """Append bytes."""
        self.place(data)()

    def place(self, data: bytes | memoryview | U8) -> Write:
        """Give bytes their place behind all others, and what writes them there: until it has, the file may
        have a hole."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        at = self._position
        hints = self._hints(at, len(view)) if self._lasts else ()
        self._position += len(view)
        return partial(self._write_at, at, view, hints)

    def _hints(self, at: int, size: int) -> Sequence[Callable[[], None]]:
        """What the disk is to do before so many bytes are written there."""
        hints = []
        if at - self._begun >= BEGIN_EVERY:
            hints.append(partial(begin_writeback, self._descriptor, self._begun, at - self._begun))
            self._begun = at
        if at + size > self._reserved and at >= BEGIN_EVERY:
            room = max(size, min(at // RESERVE_SHARE, RESERVE_MOST))
            hints.append(partial(reserve, self._descriptor, at, room))
            self._reserved = at + room
        return hints

    def _write_at(self, at: int, view: memoryview, hints: Sequence[Callable[[], None]] = ()) -> None:
        for hint in hints:
            hint()
        while view:
            try:
                count = os.pwrite(self._descriptor, view[:AT_ONCE], at)
            except OSError as fault:
                raise output_fault(fault, self._of, len(view)) from fault
            view, at = view[count:], at + count

    def overwrite(self, begin: int, data: bytes) -> None:
        """Write bytes over as many that were written before."""
        self._write_at(begin, memoryview(data))

    def position(self) -> int:
        """Bytes that have a place: what `resume_at` takes, once all are written and `sync` has returned."""
        return self._position

    def truncate(self, position: int) -> None:
        """Cut off what was written after `position`."""
        try:
            os.ftruncate(self._descriptor, position)
        except OSError as fault:
            raise output_fault(fault, self._of) from fault
        self._position = self._begun = self._reserved = position

    def begin_sync(self) -> None:
        """Have the disk take what was written, without waiting for it."""
        begin_writeback(self._descriptor, self._begun, self._position - self._begun)
        self._begun = self._position

    def sync(self) -> None:
        """Make what was written last through a loss of power."""
        try:
            os.fsync(self._descriptor)
        except OSError as fault:
            raise output_fault(fault, self._of) from fault

    def content(self, begin: int, size: int) -> bytearray:
        """Bytes that were written. Raises OutputError where they are not all there."""
        data = bytearray(size)
        self.read_into(memoryview(data), begin)
        return data

    def read_into(self, view: memoryview, begin: int) -> None:
        """As `content`, into memory that is there."""
        while view:
            try:
                count = os.preadv(self._descriptor, [view[:AT_ONCE]], begin)
            except OSError as fault:
                raise output_fault(fault, self._of) from fault
            if not count:
                raise OutputError(f"{self.path}: is shorter than what was written; check the disk")
            view, begin = view[count:], begin + count

    def close(self) -> None:
        """Leave the file as it is, without the room that was kept behind it."""
        if self._descriptor >= 0:
            if self._reserved > self._position:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._position)
            os.close(self._descriptor)
            self._descriptor = -1
