"""A file of this machine, held open: read at any place, and whether it is still the one that was opened."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.kernels.layout import U8


class OpenFile:
    """A file that is held open and read at any place, by several threads at once. A file that is put in its
    place, or changed, is noticed by its size, its time of change or its inode.

    shown: its name in messages. Raises InputError.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self._shown = path, shown
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._was = _mark(os.fstat(self._descriptor))
        except OSError as fault:
            raise InputError(f"{shown}: cannot be read: {fault.strerror}") from fault
        self.size = self._was[0]

    def require_unchanged(self) -> None:
        """Raise InputError where the file is not what it was, or another has its name."""
        try:
            same = _mark(os.fstat(self._descriptor)) == self._was == _mark(os.stat(self._path))
        except OSError:
            same = False
        if not same:
            raise InputError(f"{self._shown}: changed while it was read; run the command again")

    def read(self, offset: int, size: int) -> U8:
        """Bytes of it; all are there. Raises InputError."""
        data = np.empty(size, np.uint8)
        self.read_into(data.data, offset)
        return data

    def read_into(self, target: memoryview, offset: int) -> None:
        """As `read`, into memory that is there."""
        while target:
            try:
                count = os.preadv(self._descriptor, [target], offset)
            except OSError as fault:
                raise InputError(
                    f"{self._shown}: reading failed at byte {offset}: {fault.strerror}"
                ) from fault
            if not count:
                raise InputError(
                    f"{self._shown}: became shorter while it was read; run again when it is complete"
                )
            target, offset = target[count:], offset + count

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
