"""A file of another machine, read as one of this: where it breaks off, it is opened again at that place."""

from __future__ import annotations

import io
from typing import Any, Literal

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.io import faults, urls
from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.plain import frozen

READ_AHEAD = 8 * 2**20
"""Bytes that one request asks for at least."""


class RemoteFile(io.RawIOBase):
    """The bytes of a URL. A fault that passes is tried again, with longer and longer waits.

    expected: the file's fingerprint when the job began, None to read what is there: what has another one
    after a break is never joined to what was read before. A read gives as many bytes as are asked for, but
    at the end of the file. Raises ForgeError.
    """

    def __init__(self, url: str, expected: str | None = None, on_retry: OnRetry = ignore_retry) -> None:
        self._url = url
        self._expected = expected
        self._on_retry = on_retry
        self._position = 0
        self._handle: Any = None
        self._attempt(self._open)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += self._attempt(self._size)
        elif whence == io.SEEK_CUR:
            offset += self._position
        if offset != self._position:
            self._position = offset
            try:
                self._handle.seek(offset)
            except Exception:
                self._drop()  # the next read opens it at the new place
        return self._position

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")
        done = 0
        while done < len(view):
            size = len(view) - done
            data = self._attempt(lambda size=size: self._read(size))
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
        return done

    def close(self) -> None:
        self._drop()
        super().close()

    def _attempt(self, call: Any) -> Any:
        def guarded() -> Any:
            try:
                return call()
            except Exception:
                self._drop()
                raise

        try:
            return faults.persist(guarded, urls.shown(self._url), self._on_retry)
        except ForgeError:
            raise
        except Exception as fault:  # what a remote backend raises is its own
            raise urls.fault_of(self._url, fault) from fault

    def _open(self) -> Any:
        if self._handle is None:
            system, path = urls.filesystem(self._url)
            if self._expected is not None and self._position:
                self._require_same()
            self._handle = system.open(path, "rb", block_size=READ_AHEAD)
            if self._position:
                self._skip()
        return self._handle

    def _read(self, size: int) -> bytes:
        data: bytes = self._open().read(size)
        return data

    def _size(self) -> int:
        size = getattr(self._open(), "size", None)
        if size is None:
            raise InputError(f"{urls.shown(self._url)}: its server does not say how long it is; download it")
        return int(size)

    def _skip(self) -> None:
        """Go to the place where reading broke off; a stream without places is read up to it."""
        try:
            self._handle.seek(self._position)
            return
        except (ValueError, NotImplementedError, io.UnsupportedOperation):
            pass
        left = self._position
        while left:
            block = self._handle.read(min(left, READ_AHEAD))
            if not block:
                raise InputError(f"{urls.shown(self._url)}: became shorter while it was read; run again")
            left -= len(block)

    def _require_same(self) -> None:
        if urls.fingerprint_now(self._url) != self._expected:
            raise InputError(
                f"{urls.shown(self._url)}: changed while it was read; run again when it is complete"
            )

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                handle.close()
            except Exception:
                pass  # it is given up already


@frozen
class RemotePath:
    """A file or a folder at a URL, with what readers of output files ask of a `pathlib.Path`."""

    url: str

    def __str__(self) -> str:
        return urls.shown(self.url)

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    def with_name(self, name: str) -> RemotePath:
        return RemotePath(self.url.rstrip("/").rpartition("/")[0]) / name

    @property
    def suffix(self) -> str:
        return "." + self.name.rpartition(".")[2] if "." in self.name else ""

    def open(self, mode: Literal["rb"] = "rb", buffering: int = 0) -> RemoteFile:
        """The file's bytes, to read. Raises ForgeError."""
        return RemoteFile(self.url)
