"""Where output lines go: JSON lines in one file or in shards, resumable at a position."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import PARTIAL, make_folder, publish
from forge_gpu.io.disk import begin_writeback, output_fault, reserve
from forge_gpu.kernels.layout import U8


def shard_names(stem: str, suffix: str, rows: int, rows_per_shard: int | None) -> list[str]:
    """The files of a split: `train.jsonl`, or `train-00000-of-00005.jsonl` and so on where it is sharded.

    A split without rows has one file, which is empty.
    """
    if rows_per_shard is None:
        return [stem + suffix]
    count = max(1, -(-rows // rows_per_shard))
    return [f"{stem}-{i:05d}-of-{count:05d}{suffix}" for i in range(count)]


def stale_outputs(folder: Path, stem: str, suffixes: Sequence[str], keep: Sequence[str]) -> list[Path]:
    """Files of a split that an earlier run left under other names, so that no reader takes both."""
    return sorted(
        path for path in folder.iterdir() if path.name not in keep and is_output(path.name, stem, suffixes)
    )


def is_output(name: str, stem: str, suffixes: Sequence[str]) -> bool:
    """Whether a file's name is one that `shard_names` gives, or of such a file while it is written."""
    endings = "|".join(map(re.escape, suffixes))
    return (
        re.fullmatch(rf"{re.escape(stem)}(-\d{{5,}}-of-\d{{5,}})?({endings})(\.partial)?", name) is not None
    )


BEGIN_EVERY = 16 * 2**20
"""Bytes after which the disk is given what was written: little is left to wait for in the end."""

RESERVE_SHARE, RESERVE_MOST = 8, 64 * 2**20
"""Room is kept for an eighth of what a file has, and for so many bytes at most: a full disk is not in sight
of the check before a job while it is not nearly full."""


class JsonlSink:
    """One file of lines, written as `NAME.partial` until `commit` gives it its name.

    resume_at: bytes of an earlier run that are kept; what follows them is cut off. Raises OutputError.
    """

    def __init__(self, path: Path, resume_at: int = 0) -> None:
        self.path = path
        self._partial = path.with_name(path.name + PARTIAL)
        self._position = self._begun = self._reserved = resume_at
        make_folder(path.parent)
        try:
            self._descriptor = os.open(
                self._partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
            )
            size = os.fstat(self._descriptor).st_size
        except OSError as fault:
            raise output_fault(fault, path) from fault
        if size < resume_at:
            self.close()
            raise OutputError(
                f"{self._partial}: is shorter than its checkpoint says ({size} bytes, not {resume_at}); "
                "start anew with --fresh"
            )
        self.truncate(resume_at)

    def write(self, data: bytes | memoryview | U8) -> None:
        """Append whole lines."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        if self._position - self._begun >= BEGIN_EVERY:
            self.begin_sync()
        if self._position + len(view) > self._reserved and self._position >= BEGIN_EVERY:
            size = max(len(view), min(self._position // RESERVE_SHARE, RESERVE_MOST))
            reserve(self._descriptor, self._position, size)
            self._reserved = self._position + size
        while view:
            try:
                count = os.pwrite(self._descriptor, view[: 2**30], self._position)
            except OSError as fault:
                raise output_fault(fault, self.path, len(view)) from fault
            view = view[count:]
            self._position += count

    def position(self) -> int:
        """Bytes written: what `resume_at` takes, once `sync` has returned."""
        return self._position

    def truncate(self, position: int) -> None:
        """Cut off what was written after `position`."""
        try:
            os.ftruncate(self._descriptor, position)
        except OSError as fault:
            raise output_fault(fault, self.path) from fault
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
            raise output_fault(fault, self.path) from fault

    def commit(self) -> None:
        """Sync the file, close it and give it its name."""
        self.sync()
        self.close()
        try:
            publish(self._partial, self.path)
        except OSError as fault:
            raise output_fault(fault, self.path) from fault

    def close(self) -> None:
        """Leave the partial file as it is, without the room that was kept behind it."""
        if self._descriptor >= 0:
            if self._reserved > self._position:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._position)
            os.close(self._descriptor)
            self._descriptor = -1
