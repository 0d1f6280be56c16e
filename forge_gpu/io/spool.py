"""What cannot be read twice, or cut, where it lies: decoded once, to memory or to a file of the job.

A spooled file is named by a digest of its source's fingerprint and of how it was decoded, and has its name
only when it is whole; so a resumed job finds it, and a killed one leaves nothing that looks like it.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.errors import InputError, OutputError
from forge_gpu.io.atomic import PARTIAL, make_folder, publish, write_atomic
from forge_gpu.io.disk import output_fault, require_space, size_text
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss
from forge_gpu.io.streams import raw_blocks
from forge_gpu.plain import frozen


@frozen
class Spooled:
    """A whole spooled input, in memory or in a file, and what of its source was lost to damage."""

    content: bytes | Path
    losses: tuple[Loss, ...] = ()


class SpoolFile:
    """A file being spooled: in memory up to the spool's bound, then on disk. Raises OutputError.

    It has what a reader or writer of files asks for; closing it means nothing, `finish` and `drop` do.
    """

    closed = False

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool = spool
        self._path = path
        self._memory: io.BytesIO | None = io.BytesIO()
        self._file: io.FileIO | None = None
        self._size = 0
        self._on_disk = 0

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self._memory is not None and self._size + len(view) > self._spool.memory_left:
            self.to_disk()
        if self._memory is not None:
            self._memory.write(view)
        else:
            self._write(view)
        self._size += len(view)
        return len(view)

    def finish(self, losses: Sequence[Loss]) -> Spooled:
        """Make the file whole: keep it in memory, or sync it and give it its name."""
        if self._memory is not None:
            content = self._memory.getvalue()
            self._spool.memory_left -= len(content)
            return Spooled(content, tuple(losses))
        assert self._file is not None
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            write_atomic(
                about_path(self._path),
                orjson.dumps({"size": self._size, "losses": [asdict(loss) for loss in losses]}),
            )
            publish(partial_path(self._path), self._path)
        except OSError as fault:
            raise output_fault(fault, self._path) from fault
        return Spooled(self._path, tuple(losses))

    def restart(self) -> None:
        """Forget what was written, and begin anew."""
        self.drop()
        self._memory, self._file, self._size, self._on_disk = io.BytesIO(), None, 0, 0

    def drop(self) -> None:
        """Forget what was written."""
        if self._file is not None:
            self._file.close()
            self._spool.disk_left += self._on_disk
            partial_path(self._path).unlink(missing_ok=True)

    def to_disk(self) -> None:
        """Leave memory now, however small the file is."""
        assert self._memory is not None
        make_folder(self._path.parent)
        try:
            partial_path(self._path).unlink(missing_ok=True)
            self._file = io.FileIO(partial_path(self._path), "xb")
        except OSError as fault:
            raise output_fault(fault, self._path) from fault
        held, self._memory = self._memory.getbuffer(), None
        self._write(held)

    def _write(self, view: memoryview) -> None:
        assert self._file is not None
        if len(view) > self._spool.disk_left:
            raise OutputError(
                f"{self._path.parent}: decoded input takes more than the "
                f"{size_text(self._spool.disk_limit)} it may take on disk; "
                "raise the bound, or decode the input yourself"
            )
        self._spool.disk_left -= len(view)
        self._on_disk += len(view)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as fault:
            raise output_fault(fault, self._path, len(view)) from fault


class Spool:
    """Spooled inputs of one job, in one folder.

    folder: made when it is first needed. memory_limit: bytes of all inputs together that may stay in
    memory. disk_limit: bytes that may go to disk, no bound if None. For one thread at a time.
    """

    def __init__(self, folder: Path, memory_limit: int = 0, disk_limit: int | None = None) -> None:
        self.folder = folder
        self.memory_left = memory_limit
        self.disk_limit = 2**63 if disk_limit is None else disk_limit
        self.disk_left = self.disk_limit

    def capture(self, file: InputFile) -> InputFile:
        """A stream (standard input, a pipe) as a file of its name, with a fingerprint of all of it."""
        path = self.folder / f"stream-{hashlib.blake2b(file.url.encode(), digest_size=8).hexdigest()}"
        digest = hashlib.blake2b(digest_size=16)
        spooled = SpoolFile(self, path)
        spooled.to_disk()
        try:
            with file.open() as handle:
                for block in raw_blocks(handle):
                    digest.update(block)
                    spooled.write(block)
        except OSError as fault:
            spooled.drop()
            raise InputError(f"{file.path}: reading failed: {fault.strerror or fault}") from fault
        except BaseException:
            spooled.drop()
            raise
        spooled.finish(())
        return replace(file, url=str(path.absolute()), size=spooled.tell(), fingerprint=digest.hexdigest())

    def keep(
        self, file: InputFile, how: Sequence[object], write: Callable[[SpoolFile, list[Loss]], None]
    ) -> Spooled:
        """What `write` makes of `file`, made now or found from before.

        how: all that the bytes depend on beside the file. Raises OutputError where there is no room, before
        anything is written if the file alone is larger than what is free.
        """
        digest = hashlib.blake2b(repr((file.url, file.fingerprint, *how)).encode(), digest_size=16)
        path = self.folder / digest.hexdigest()
        result = _found(path)
        if result is not None:
            return result
        if file.size is not None and file.size > self.memory_left:
            require_space(self.folder, file.size, f"decoding {file.path}")
        losses: list[Loss] = []
        spooled = SpoolFile(self, path)
        try:
            write(spooled, losses)
            return spooled.finish(losses)
        except BaseException:
            spooled.drop()
            raise

    def clear(self) -> None:
        """Remove every spooled file; the job is done."""
        for path in _names(self.folder):
            path.unlink(missing_ok=True)
        if self.folder.is_dir():
            self.folder.rmdir()


def partial_path(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)


def about_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _found(path: Path) -> Spooled | None:
    """A file spooled before, if it is whole: its size is what was noted."""
    try:
        about = orjson.loads(about_path(path).read_bytes())
        if path.stat().st_size != about["size"]:
            return None
        return Spooled(path, tuple(Loss(**loss) for loss in about["losses"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _names(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.iterdir()
