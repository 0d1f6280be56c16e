"""Room on the disk, and the faults of a disk told as one line."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from forge_gpu.errors import OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def free_space(path: Path) -> int:
    """Bytes that this user may still write on the disk of `path`, which need not exist yet."""
    return shutil.disk_usage(_nearest(path)).free


def _nearest(path: Path) -> Path:
    """A path, or the nearest folder above it that exists."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


IN_MEMORY = ("tmpfs", "ramfs")
MOUNTS = Path("/proc/self/mountinfo")


def is_in_memory(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether what is written to `path`, which need not exist yet, takes memory: its file system is no disk
    (Linux; False elsewhere)."""
    return _is_memory(_nearest(path).stat().st_dev, mounts)


def _is_memory(device: int, mounts: Path = MOUNTS) -> bool:
    """Whether a file system, by the number of its device, keeps files in memory (proc_pid_mountinfo(5))."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}".encode()
    halves = (line.partition(b" - ") for line in lines)
    kinds = {about.split()[2]: kind.split()[0].decode() for about, _, kind in halves}
    return kinds.get(number) in IN_MEMORY


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise OutputError unless `needed` bytes are free on the disk of `folder`."""
    free = free_space(folder)
    if free < needed:
        raise OutputError(
            f"{folder}: {what} needs {size_text(needed)}, {size_text(free)} are free; "
            "free some space or choose another folder"
        )


def output_fault(fault: OSError, path: Path, needed: int | None = None) -> OutputError:
    """The error for a write to `path` that failed; `needed` bytes were still to be written, if known."""
    if fault.errno in _FULL:
        lacking = f", {size_text(needed)} more are needed" if needed else ""
        return OutputError(
            f"{path.parent}: no space left to write {path.name}{lacking}; what is finished is kept: "
            "free some space and run the same command again"
        )
    if fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            f"{path}: no permission to write here; choose another output folder or change its rights"
        )
    return OutputError(f"{path}: cannot be written: {os.strerror(fault.errno) if fault.errno else fault}")


@contextmanager
def faults_of(folder: Path) -> Iterator[None]:
    """Whatever fails of files in a folder of output, as a user is to read it: an OutputError."""
    try:
        yield
    except OSError as fault:
        name = fault.filename
        if isinstance(name, str | os.PathLike) and Path(name).is_relative_to(folder):
            raise output_fault(fault, Path(name)) from fault
        raise


def size_text(size: int) -> str:
    """Bytes as people read them: 17 bytes, 3.2 MiB."""
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, 4)
    return f"{size / 1024**power:.1f} {('', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


SYNC_FILE_RANGE_WRITE = 2
FALLOC_FL_KEEP_SIZE = 1


def begin_writeback(descriptor: int, offset: int, size: int) -> None:
    """Have the system begin to write bytes of a file to its disk, without waiting (Linux; nothing elsewhere).

    Only a hint, as sync_file_range(2) has it: that they are there is known after an fsync alone.
    """
    begin, _ = _hints()
    if begin is not None:
        begin(descriptor, offset, size, SYNC_FILE_RANGE_WRITE)


def reserve(descriptor: int, offset: int, size: int) -> None:
    """Have the system keep room on the disk for bytes of a file that are still to come (Linux; nothing
    elsewhere): they are written in less time then, for their places are known.

    Only a hint: where there is no room, or no way to keep it, the write itself will tell. The file's size
    stays as it is; room that is not used in the end is given back where the file is truncated to its size.
    A file system in memory would take the time to clear what is written over soon: there it does nothing.
    """
    _, keep = _hints()
    if keep is not None and not _was_memory(os.fstat(descriptor).st_dev):
        keep(descriptor, FALLOC_FL_KEEP_SIZE, offset, size)


_was_memory = cache(_is_memory)
"""What a device was when it was first asked for, which will do for a hint."""

Call = Callable[[int, int, int, int], int]


@cache
def _hints() -> tuple[Call | None, Call | None]:
    """sync_file_range(2) and fallocate(2), which Python does not have."""
    if not sys.platform.startswith("linux"):
        return None, None
    from ctypes import CDLL, c_int, c_int64, c_uint

    library = CDLL(None)
    begin, keep = getattr(library, "sync_file_range", None), getattr(library, "fallocate64", None)
    if begin is not None:
        begin.argtypes = (c_int, c_int64, c_int64, c_uint)
    if keep is not None:
        keep.argtypes = (c_int, c_int, c_int64, c_int64)
    return begin, keep
