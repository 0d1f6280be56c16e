"""Events as lines of a file, or of standard output."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path
from types import TracebackType

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import open_to_append
from forge_gpu.job.events.dispatch import PACE, GiveUp
from forge_gpu.job.events.encode import Entry, to_line

BEGINNING = b'{"v":'


class EventFile:
    """A listener that writes each event as one line, by one write: a killed run leaves whole lines, and at
    most one torn one. A file that holds events of earlier runs is written on."""

    def __init__(self, descriptor: int, name: str, pace: float = PACE) -> None:
        """descriptor: of a file that is open for writing; it is closed by `close`. pace: seconds between two
        events of progress."""
        self.pace = pace
        self.name = f"the events file {name}"
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: str | Path) -> EventFile:
        """Raises OutputError where it cannot be written, or holds something other than events."""
        try:
            is_torn = _ends_torn(path)
            descriptor = open_to_append(path, 0o664)
            if is_torn:
                write_whole(descriptor, b"\n")
        except OSError as fault:
            raise OutputError(f"{path}: events cannot be written there: {fault.strerror}") from fault
        return cls(descriptor, str(path))

    def __call__(self, entry: Entry) -> None:
        """Write one line. Raises GiveUp where the disk is full, or nobody reads any more."""
        try:
            write_whole(self._descriptor, to_line(entry))
        except OSError as fault:
            raise GiveUp(fault.strerror or type(fault).__name__) from fault

    def close(self) -> None:
        """Close the file; call it once."""
        os.close(self._descriptor)

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_whole(descriptor: int, line: bytes) -> None:
    """Write all of it: by one call, unless the reader takes it in pieces."""
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _ends_torn(path: str | Path) -> bool:
    """Whether a killed run has left the last line of a file without its end. Raises OutputError where the
    file holds something other than events."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False  # a pipe or a device
    except FileNotFoundError:
        return False
    with open(path, "rb") as file:
        begun = file.read(len(BEGINNING))
        if begun != BEGINNING[: len(begun)]:
            raise OutputError(f"{path}: holds something other than events; name another file for them")
        if not begun:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
