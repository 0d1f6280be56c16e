"""Files that are either whole or not there, whenever the machine stops."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from forge_gpu.errors import OutputError
from forge_gpu.io.disk import output_fault
from forge_gpu.io.modes import file_mode, sync_folder

AT_ONCE = 16
"""Files that wait for the disk together."""
PARTIAL = ".partial"
"""What a file's name ends with until it is whole."""


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file: beside its name, synced, then renamed over it.

    A text is written as UTF-8. Raises OutputError.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path, len(data)) as beside:
        _fill(beside, data)


def write_checked(path: Path, content: bytes) -> None:
    """Write a whole file that tells by checksums whether it is torn: beside its name, then renamed over it.

    Nothing waits for the disk: a loss of power may leave it torn, a killed process cannot.
    Raises OutputError.
    """
    try:
        with written_beside(path, lasts=False) as beside:
            _fill(beside, content)
    except OSError as fault:
        raise output_fault(fault, path, len(content)) from fault


@contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """A path beside `path` to write to; at the end of the block it is synced and given the name. An empty
    file already exists, so that nothing that someone else put there is written to.

    size: of what is written, if that is known. Raises OutputError. A block that raises leaves nothing.
    """
    try:
        with written_beside(path) as beside:
            yield beside
    except OSError as fault:
        raise output_fault(fault, path, size) from fault


@contextmanager
def written_beside(path: Path, lasts: bool = True) -> Iterator[Path]:
    """As `replacing`, for what is no output. lasts: synced; else a power cut may take it. Raises OSError."""
    beside = name_beside(path)
    try:
        _create(beside)
        yield beside
        if not lasts:
            os.replace(beside, path)
            return
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        publish(beside, path)
    finally:
        _forget(beside)


def write_several(files: Mapping[Path, Callable[[Path], None]]) -> None:
    """Write many whole files: each beside its name by the function that is given for it, and synced, some at
    a time, so that the disk takes them together; then all get their names, and each folder is synced once.

    Raises OutputError, and what a function raises. A file that has its name is whole, and lasts.
    """
    besides = {path: name_beside(path) for path in files}

    def write(path: Path) -> None:
        beside = besides[path]
        try:
            _create(beside)
            files[path](beside)
            if not beside.is_symlink():
                with open(beside, "rb") as file:
                    os.fsync(file.fileno())
        except OSError as fault:
            raise output_fault(fault, path) from fault

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for written in [pool.submit(write, path) for path in files]:
                written.result()
        for path, beside in besides.items():
            os.replace(beside, path)
        for folder in {path.parent for path in files}:
            sync_folder(folder)
    except OSError as fault:
        raise output_fault(fault, next(iter(files)).parent) from fault
    finally:
        for beside in besides.values():
            _forget(beside)


def _forget(beside: Path) -> None:
    """Remove what was written beside a name. Where that fails, a later run does it: `remove_temporary`."""
    with suppress(OSError):
        beside.unlink(missing_ok=True)


def name_beside(path: Path) -> Path:
    """A name that nobody can foresee, of a file that `remove_temporary` removes."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{PARTIAL}")


def open_to_append(path: str | Path, mode: int) -> int:
    """A descriptor to write after what a file has, or to a pipe or a device. mode: of a new file.

    Raises OSError, also for a link: someone may have put it there, and what it names would be written to.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    if os.path.abspath(path).startswith(_OF_THE_SYSTEM):
        return os.open(path, flags, mode)
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW, mode)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise _a_link(path) from fault
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        os.close(descriptor)
        raise _a_link(path)
    return descriptor


def _a_link(path: str | Path) -> OSError:
    return OSError(errno.ELOOP, "it is a link to another file; name that one, or remove the link", str(path))


_OF_THE_SYSTEM = ("/dev/", "/proc/")
"""Where links are the system's own: /dev/stdout."""


def _create(path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(path, flags, file_mode(path.parent)))


def _fill(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) or 0 :]


def remove_temporary(folder: Path) -> None:
    """Remove what killed runs were writing beside the names of files in a folder, where nobody is at work.

    Raises OSError.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if _TEMPORARY.search(path.name):
            path.unlink(missing_ok=True)


_TEMPORARY = re.compile(r"\.[0-9a-f]{16}" + re.escape(PARTIAL) + "$")


def publish(partial: Path, path: Path) -> None:
    """Give a synced file its final name, and make the name last. Raises OSError."""
    os.replace(partial, path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents where they are missing. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(
            f"{folder}: is a file, not a folder; remove it or choose another output folder"
        ) from None
    except OSError as fault:
        raise output_fault(fault, folder) from fault
    return folder


def require_no_link(folder: Path) -> None:
    """Raise OutputError where a link stands in the place of a folder that an output has of its own."""
    if folder.is_symlink():
        raise OutputError(f"{folder}: is a link, and files of the output go into a folder there; remove it")


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`, for names that come from a configuration or from data.

    Raises OutputError where it would lie outside, through "..", an absolute path or a symbolic link.
    """
    if not name or "\0" in name:
        raise OutputError(f"{name!r} is not a name for a file")
    path = folder / name
    root = folder.resolve()
    if not path.resolve().is_relative_to(root) or path.resolve() == root:
        raise OutputError(f"{name!r} leads out of {folder}; use a plain name")
    return path
