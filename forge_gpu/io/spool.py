"""What cannot be read twice, or cut, where it lies: decoded once, to memory or to a file of the job.

A spooled file is named by a digest of its source's fingerprint and of how it was decoded, and has its name
only when it is whole; so a resumed job finds it, and a killed one leaves nothing that looks like it.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import Condition
from typing import Any

import orjson

from forge_gpu.errors import InputError, OutputError
from forge_gpu.io.atomic import PARTIAL, make_folder, publish, write_atomic
from forge_gpu.io.disk import free_space, output_fault, require_space, size_text
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss
from forge_gpu.io.streams import raw_blocks
from forge_gpu.plain import frozen


@frozen
class Spooled:
    """A whole spooled input, in memory or in a file, and what of its source was lost to damage."""

    content: bytes | Path
    losses: tuple[Loss, ...] = ()


def never() -> None:
    """Nothing stops what is done."""


class SpoolFile:
    """A file being spooled: in memory up to the spool's bound, then on disk. Raises OutputError.

    It has what a reader or writer of files asks for; closing it means nothing, `finish` and `drop` do.
    check_stop: is called before each write, and raises to stop. expected: bytes that it takes on disk at
    least, about.
    """

    closed = False

    def __init__(self, spool: Spool, path: Path, check_stop: Callable[[], None] = never) -> None:
        self.expected = 0
        self._spool = spool
        self._path = path
        self._check_stop = check_stop
        self._memory: io.BytesIO | None = io.BytesIO()
        self._file: io.FileIO | None = None
        self._size = 0
        self._in_memory = self._on_disk = 0  # bytes of the spool's that it has taken

    @property
    def to_come(self) -> int:
        """Bytes that are expected, and not on disk yet."""
        return max(self.expected - self._on_disk, 0)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        self._check_stop()
        view = memoryview(data).cast("B")
        if self._memory is not None and not self._spool.take_memory(len(view)):
            self.to_disk()
        if self._memory is not None:
            self._in_memory += len(view)
            self._memory.write(view)
        else:
            self._write(view)
        self._size += len(view)
        return len(view)

    def finish(self, losses: Sequence[Loss]) -> Spooled:
        """Make the file whole: keep it in memory, or sync it and give it its name."""
        if self._memory is not None:
            return Spooled(self._memory.getvalue(), tuple(losses))
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

    def drop(self) -> None:
        """Forget what was written."""
        if self._file is not None:
            self._file.close()
            partial_path(self._path).unlink(missing_ok=True)
        self._spool.give_back(self._in_memory, self._on_disk)
        self._in_memory = self._on_disk = 0

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
        self._spool.give_back(self._in_memory, 0)
        self._in_memory = 0

    def _write(self, view: memoryview) -> None:
        assert self._file is not None
        if not self._spool.take_disk(len(view)):
            raise OutputError(
                f"{self._path.parent}: decoded input takes more than the "
                f"{size_text(self._spool.disk_limit)} it may take on disk; "
                "raise the bound, or decode the input yourself"
            )
        self._on_disk += len(view)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as fault:
            raise output_fault(fault, self._path, len(view)) from fault


class Spool:
    """Spooled inputs of one job, in one folder.

    folder: made when it is first needed. memory_limit: bytes of all inputs together that may stay in
    memory. disk_limit: bytes that may go to disk, no bound if None.

    For any thread: the bounds are those of all files that are written at once, and no two threads write one
    file. Which files stay in memory depends on which come first.
    """

    def __init__(self, folder: Path, memory_limit: int = 0, disk_limit: int | None = None) -> None:
        self.folder = folder
        self.memory_left = memory_limit
        self.disk_limit = 2**63 if disk_limit is None else disk_limit
        self.disk_left = self.disk_limit
        self._changed = Condition()
        self._written: dict[Path, SpoolFile] = {}

    def take_memory(self, size: int) -> bool:
        """Take bytes of what is left of memory, if there are so many."""
        with self._changed:
            is_there = size <= self.memory_left
            self.memory_left -= size if is_there else 0
        return is_there

    def take_disk(self, size: int) -> bool:
        """Take bytes of what is left of the bound of the disk, if there are so many."""
        with self._changed:
            is_there = size <= self.disk_left
            self.disk_left -= size if is_there else 0
        return is_there

    def give_back(self, memory: int, disk: int) -> None:
        """What was taken, of each."""
        with self._changed:
            self.memory_left += memory
            self.disk_left += disk

    def capture(self, file: InputFile, check_stop: Callable[[], None] = never) -> InputFile:
        """A stream (standard input, a pipe) as a file of its name, with a fingerprint of all of it."""
        path = self.folder / f"stream-{hashlib.blake2b(file.url.encode(), digest_size=8).hexdigest()}"
        digest = hashlib.blake2b(digest_size=16)
        spooled = SpoolFile(self, path, check_stop)
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
        self,
        file: InputFile,
        how: Sequence[object],
        write: Callable[[SpoolFile, list[Loss]], None],
        check_stop: Callable[[], None] = never,
    ) -> Spooled:
        """What `write` makes of `file`, made now or found from before.

        how: all that the bytes depend on beside the file. check_stop: as of SpoolFile. Raises OutputError
        where there is no room, before anything is written if the file alone is larger than what is free.
        """
        digest = hashlib.blake2b(repr((file.url, file.fingerprint, *how)).encode(), digest_size=16)
        path = self.folder / digest.hexdigest()
        with self._alone(SpoolFile(self, path, check_stop), path) as spooled:
            result = _found(path)
            if result is not None:
                return result
            self._require_room(file, spooled)
            losses: list[Loss] = []
            try:
                write(spooled, losses)
                return spooled.finish(losses)
            except BaseException:
                spooled.drop()
                raise

    @contextmanager
    def _alone(self, spooled: SpoolFile, path: Path) -> Iterator[SpoolFile]:
        """While another thread writes a file of this name, wait for it; others will wait for this one."""
        with self._changed:
            self._changed.wait_for(lambda: path not in self._written)
            self._written[path] = spooled
        try:
            yield spooled
        finally:
            with self._changed:
                del self._written[path]
                self._changed.notify_all()

    def _require_room(self, file: InputFile, spooled: SpoolFile) -> None:
        """Raise OutputError where the disk has no room for a file as large as this one, when those that are
        being written have theirs: until that is known, wait for them."""
        with self._changed:
            if file.size is None or file.size <= self.memory_left:
                return
            while others := sum(other.to_come for other in self._written.values()):
                if free_space(self.folder) >= file.size + others:
                    break
                self._changed.wait()
            require_space(self.folder, file.size, f"decoding {file.path}")
            spooled.expected = file.size

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
