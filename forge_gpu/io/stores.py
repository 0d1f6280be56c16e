"""Decoded bytes that can be read at any place, by several threads at once."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from forge_gpu.errors import InputError
from forge_gpu.io import urls
from forge_gpu.io.open_file import OpenFile


class ByteStore(Protocol):
    size: int

    def read_into(self, target: memoryview, offset: int) -> None:
        """Fill `target` from byte `offset` on; all of it lies inside the store. Raises InputError."""

    def close(self) -> None: ...


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
    return MemoryStore(content) if isinstance(content, bytes) else OpenFile(content, shown)
