"""Files put on a store: whole or not there, compared with what was sent, sent again after passing faults."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forge_gpu.errors import ForgeError, OutputError
from forge_gpu.io import faults, urls
from forge_gpu.io.faults import OnRetry, first_line, ignore_retry, is_passing
from forge_gpu.io.remote import RemotePath

PART = 8 * 2**20
"""Bytes of a part of an upload; a file of one part is sent in one request."""

MOST_PARTS = 9000  # S3 takes 10,000

PROBE = ".forge-probe"

_HAS_FOLDERS = ("sftp", "ssh", "smb", "ftp", "hdfs", "webhdfs")
"""Protocols where a folder has to be made. On an object store that would make a bucket."""

_ELSEWHERE = "choose a folder, or a store such as s3://"


class Store:
    """A folder at a URL that files are put into. Raises OutputError."""

    def __init__(self, url: str, on_retry: OnRetry = ignore_retry) -> None:
        self.path = RemotePath(url)
        self._system, self._root = urls.filesystem(url)
        self._on_retry = on_retry

    def require_writable(self) -> None:
        """Write a small file and remove it, so that what is lacking shows before there is work to lose."""
        protocol = urls.protocol(self.path.url)
        if protocol in ("http", "https"):
            raise OutputError(f"{self.path}: {protocol}:// is for input alone; {_ELSEWHERE}")
        if protocol in _HAS_FOLDERS:
            self._attempt(PROBE, lambda: self._system.makedirs(self._root, exist_ok=True))
        self.put(PROBE, b"")
        self.remove(PROBE)

    def put(self, name: str, content: bytes) -> None:
        """Write a small file in one request."""
        self._attempt(name, lambda: self._system.pipe_file(self._at(name), content))

    def upload(self, path: Path, on_part: Callable[[int], None], read_back: bool) -> str:
        """Send a file under its own name; its fingerprint on the store. Nothing of that name is there, or
        what was there before, until all of it is.

        on_part: is called with the bytes of each part sent, and raises to stop. read_back: compare the
        content too, by the store's MD5 where it gives one, else by reading it again; the size always is.
        """
        reported = 0

        def send() -> set[str]:
            nonlocal reported
            digests = []
            sent = 0
            with _Sending(self._system, self._at(path.name), _part_bytes(path.stat().st_size)) as sending:
                for part in _parts(path):
                    sending.write(part)
                    digests.append(hashlib.md5(part, usedforsecurity=False).digest())
                    sent += len(part)
                    on_part(max(sent - reported, 0))
                    reported = max(sent, reported)
            return _tags(digests)

        tags = self._attempt(path.name, send)
        about = self.about(path.name)
        if about is None or about.get("size") != path.stat().st_size:
            size = None if about is None else about.get("size")
            raise OutputError(
                f"{self.path / path.name}: holds {size} bytes after the upload, not {path.stat().st_size}; "
                "does another run write there? Run the same command again"
            )
        tag = str(about.get("ETag") or about.get("etag") or "").strip('"')
        if read_back and tag not in tags and not self._is_same(path):
            raise OutputError(
                f"{self.path / path.name}: does not read back as it was sent; does another run write there? "
                "Run the same command again"
            )
        return urls.fingerprint((self.path / path.name).url, about)

    def is_at(self, url: str, name: str) -> bool:
        """Whether a URL is that of a file of the folder."""
        system, path = urls.filesystem(url)
        return type(system) is type(self._system) and path == self._at(name)

    def fingerprint(self, name: str) -> str | None:
        """Of a file that is there now; None where none is."""
        about = self.about(name)
        return None if about is None else urls.fingerprint((self.path / name).url, about)

    def about(self, name: str) -> dict[str, Any] | None:
        """What the store says of a file now; None where there is none."""

        def ask() -> dict[str, Any] | None:
            self._system.invalidate_cache()
            try:
                result: dict[str, Any] = self._system.info(self._at(name))
            except FileNotFoundError:
                return None
            return result if result.get("type") != "directory" else None

        result: dict[str, Any] | None = self._attempt(name, ask)
        return result

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""

        def ask() -> bytes | None:
            try:
                content: bytes = self._system.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return content

        content: bytes | None = self._attempt(name, ask)
        return content

    def names(self) -> list[str]:
        """The names in the folder."""

        def ask() -> list[str]:
            self._system.invalidate_cache()
            try:
                result = self._system.ls(self._root, detail=False)
            except FileNotFoundError:  # an empty folder of an object store
                return []
            return [str(name).rstrip("/").rpartition("/")[2] for name in result]

        names: list[str] = self._attempt("", ask)
        return names

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

        def ask() -> None:
            try:
                self._system.rm_file(self._at(name))
            except FileNotFoundError:
                pass

        self._attempt(name, ask)

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _attempt(self, name: str, call: Callable[[], Any]) -> Any:
        where = self.path / name if name else self.path
        try:
            return faults.persist(call, str(where), self._on_retry)
        except ForgeError:
            raise
        except Exception as fault:  # what a remote backend raises is its own
            raise self._fault(where, fault) from fault

    def _fault(self, where: RemotePath, fault: Exception) -> ForgeError:
        if isinstance(fault, FileNotFoundError):
            return OutputError(
                f"{self.path}: there is no such bucket or folder; make it, or choose another output"
            )
        if urls.is_forbidden(fault):
            return OutputError(
                f"{where}: no permission to list, write and remove files there; "
                f"{urls.credentials(self.path.url)}"
            )
        if isinstance(fault, NotImplementedError):
            return OutputError(
                f"{self.path}: {urls.protocol(self.path.url)}:// cannot be written; {_ELSEWHERE}"
            )
        message = f"{where}: cannot be written: {type(fault).__name__}: {first_line(fault)}"
        if is_passing(fault):
            message += "; what is done is kept: check the network, then run the same command again"
        return OutputError(message)

    def _is_same(self, path: Path) -> bool:
        """Whether a file of this machine and that of its name on the store have the same content."""
        with path.open("rb") as here, (self.path / path.name).open() as there:
            while True:
                block = here.read(2**20)
                if there.read(max(len(block), 1)) != block:
                    return False
                if not block:
                    return True


class _Sending:
    """A file on a store while it is written: it appears when the block ends well, and not before."""

    def __init__(self, system: Any, path: str, part_bytes: int) -> None:
        self._system = system
        self._path = path
        self._part_bytes = part_bytes
        self._first: bytes | None = None
        self._handle: Any = None

    def __enter__(self) -> _Sending:
        return self

    def write(self, part: bytes) -> None:
        """Send the next part. The first waits for a second one: without it, it goes in one request."""
        if self._handle is None and self._first is None:
            self._first = part
            return
        if self._handle is None:
            self._handle = self._system.open(self._path, "wb", block_size=self._part_bytes, autocommit=False)
            self._handle.write(self._first)
        self._handle.write(part)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._discard()
        elif self._handle is None:
            self._system.pipe_file(self._path, self._first or b"")
        else:
            try:
                self._handle.close()
                getattr(self._handle, "commit", _nothing)()
            except BaseException:
                self._discard()
                raise

    def _discard(self) -> None:
        if self._handle is not None:
            try:
                getattr(self._handle, "discard", _nothing)()
            except Exception:
                pass  # the fault that led here is the one to tell


def _nothing() -> None:
    """What a file does to commit that was seen while it was written."""


def _part_bytes(size: int) -> int:
    """Bytes of each part of a file: whole MiB, so few parts as stores allow."""
    return max(PART, -(-size // MOST_PARTS // 2**20) * 2**20)


def _parts(path: Path) -> Iterator[bytes]:
    part_bytes = _part_bytes(path.stat().st_size)
    with path.open("rb") as file:
        while part := file.read(part_bytes):
            yield part


def _tags(digests: list[bytes]) -> set[str]:
    """The tags that S3 may give a file, of the MD5 of its parts: that of the one, and that of several."""
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    tags = {f"{whole}-{len(digests)}"}
    if len(digests) == 1:
        tags.add(digests[0].hex())
    if not digests:
        tags.add(whole)  # of no bytes at all
    return tags
