"""A file system that fails as it is told to: faults at the seam between Forge and a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class FaultyFileSystem(MemoryFileSystem):
    """Files in memory. `plan` holds faults by the name of the call (info, find, open, read, pipe_file, …);
    each is raised once, in order; None lets a call pass. `reads_at_most`: bytes that one read gives."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    plan: ClassVar[dict[str, list[BaseException | None]]] = {}
    reads_at_most = 1000

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("faulty://", "memory://", 1))

    def unstrip_protocol(self, name: str) -> str:
        return "faulty:/" + name

    @classmethod
    def fail(cls, call: str) -> None:
        faults = cls.plan.get(call)
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault

    def info(self, path: str, **kwargs: Any) -> Any:
        self.fail("info")
        return super().info(path, **kwargs)

    def find(self, path: str, **kwargs: Any) -> Any:
        self.fail("find")
        return super().find(path, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self.fail("pipe_file")
        super().pipe_file(path, value, mode, **kwargs)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        self.fail("cat_file")
        return super().cat_file(path, start, end, **kwargs)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        self.fail("open")
        file = super()._open(path, mode, **kwargs)
        return Reading(file, self) if mode == "rb" else file


class Reading:
    """A file that gives few bytes at a time, and fails."""

    def __init__(self, file: Any, system: FaultyFileSystem) -> None:
        self._file = file
        self._system = system
        self.size = file.size

    def read(self, size: int) -> bytes:
        self._system.fail("read")
        return self._file.read(min(size, self._system.reads_at_most))

    def seek(self, offset: int) -> int:
        self._system.fail("seek")
        return self._file.seek(offset)

    def close(self) -> None:
        pass


@contextmanager
def faulty() -> Iterator[type[FaultyFileSystem]]:
    """The file system, empty and without faults, for a test."""
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.store.clear()
    FaultyFileSystem.plan.clear()
    yield FaultyFileSystem
