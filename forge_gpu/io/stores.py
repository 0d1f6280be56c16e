"""Decoded bytes that can be read at any place, by several threads at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from forge_gpu.errors import InputError
from forge_gpu.io import urls


class ByteStore(Protocol):
    size: int

    def read_into(self, target: memoryview, offset: int) -> None:
        """Fill `target` from byte `offset` on; all of it lies inside the store. Raises InputError."""

    def close(self) -> None: ...


class FileStore:
    """A file on this machine, through one descriptor without a position of its own."""

    def __init__(self, path: Path, shown: str) -> None:
        self._shown = shown
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._descriptor).st_size
        except OSError as fault:
            raise InputError(f"{shown}: cannot be read: {fault.strerror}") from fault

    def read_into(self, target: memoryview, offset: int) -> None:
        while target:
            try:
                count = os.preadv(self._descriptor, [target], offset)
            except OSError as fault:
                raise InputError(
                    f"{self._shown}: reading failed at byte {offset}: {fault.strerror}"
                ) from fault
            if count == 0:
                raise InputError(
                    f"{self._shown}: became shorter while it was read; run again when it is complete"
                )
            target = target[count:]
            offset += count

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RemoteStore:
    """A file of a remote store, each part of which is asked for when it is needed."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._system, self._path = urls.filesystem(url)
        self.size = size

    def read_into(self, target: memoryview, offset: int) -> None:
        try:
            data = self._system.cat_file(self._path, start=offset, end=offset + len(target))
        except Exception as fault:  # what a remote backend raises is its own; who reads tries again
            raise urls.fault_of(self._url, fault) from fault
        if len(data) != len(target):
            raise InputError(
                f"{urls.shown(self._url)}: became shorter while it was read; run again when it is complete"
            )
        target[:] = data

    def close(self) -> None:
        pass


class MemoryStore:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_into(self, target: memoryview, offset: int) -> None:
        target[:] = self._data[offset : offset + len(target)]

    def close(self) -> None:
        pass


def open_store(content: bytes | Path, shown: str) -> ByteStore:
    """The bytes of a spooled input or of a file; `shown` is its name in messages."""
    return MemoryStore(content) if isinstance(content, bytes) else FileStore(content, shown)
