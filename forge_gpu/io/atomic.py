"""Files that are either whole or not there, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forge_gpu.errors import OutputError
from forge_gpu.io.disk import output_fault

PARTIAL = ".partial"
"""What a file's name ends with until it is whole."""


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file: beside its name, synced, then renamed over it.

    A text is written as UTF-8. Raises OutputError.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(path.name + PARTIAL)
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path)
    except OSError as fault:
        partial.unlink(missing_ok=True)
        raise output_fault(fault, path, len(data)) from fault


def write_checked(path: Path, content: bytes) -> None:
    """Write a whole file that tells by checksums whether it is torn: beside its name, then renamed over it.

    Nothing waits for the disk: a loss of power may leave it torn, a killed process cannot.
    Raises OutputError.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as fault:
        partial.unlink(missing_ok=True)
        raise output_fault(fault, path, len(content)) from fault


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; at the end of the block it is synced and given the name.

    Raises OutputError. A block that raises leaves nothing.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        publish(partial, path)
    except OSError as fault:
        raise output_fault(fault, path) from fault
    finally:
        partial.unlink(missing_ok=True)


def publish(partial: Path, path: Path) -> None:
    """Give a synced file its final name, and make the name last. Raises OSError."""
    os.replace(partial, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last through a loss of power. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`, for names that come from a configuration or from data.

    Raises OutputError where it would lie outside, through "..", an absolute path or a symbolic link.
    """
    if not name or "\0" in name:
        raise OutputError(f"{name!r} is no name for a file")
    path = folder / name
    root = folder.resolve()
    if not path.resolve().is_relative_to(root) or path.resolve() == root:
        raise OutputError(f"{name!r} leads out of {folder}; use a plain name")
    return path
