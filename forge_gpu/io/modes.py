"""Who may read what is written: the folder that it lies in says so, and nothing is for others to write."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from forge_gpu.errors import OutputError
from forge_gpu.io.disk import output_fault

Mode = Literal["umask", "group", "private"]
"""Of an output folder: as the user's umask has it, for the user and the group, for the user alone."""

_FOLDERS: dict[Mode, int] = {"umask": 0o777, "group": 0o750, "private": 0o700}
_OTHERS_WRITE = 0o002


def file_mode(folder: Path) -> int:
    """Of a new file in a folder, before the umask: whoever may read the folder. Raises OSError."""
    return stat.S_IMODE(os.stat(folder).st_mode) & 0o666 & ~_OTHERS_WRITE


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last through a loss of power. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_shared(folder: Path, mode: Mode) -> None:
    """Make an output folder, and its parents where they are missing, or give one that is there its mode.

    Raises OutputError.
    """
    try:
        is_new = not folder.exists()
        folder.mkdir(_FOLDERS[mode] & ~_OTHERS_WRITE, parents=True, exist_ok=True)
        if is_new:
            sync_folder(folder.parent)
        elif mode != "umask" and os.stat(folder).st_uid == os.geteuid():
            folder.chmod(_FOLDERS[mode])
    except FileExistsError:
        raise OutputError(
            f"{folder}: is a file, not a folder; remove it or choose another output folder"
        ) from None
    except OSError as fault:
        raise output_fault(fault, folder) from fault


def make_private(folder: Path) -> Path:
    """Make a folder of the job's own, for its user alone, in one that is there. Raises OutputError where
    something else has its name, or a link lies in it: it would lead what is written elsewhere."""
    try:
        folder.mkdir(0o700, exist_ok=True)
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or (status.st_uid not in (os.geteuid(), 0) and os.geteuid()):
            raise FileExistsError
        folder.chmod(0o700)
        for where, folders, files in os.walk(folder):
            for name in (*folders, *files):
                if os.path.islink(os.path.join(where, name)):
                    raise OutputError(
                        f"{os.path.join(where, name)}: is a link, which no run of Forge leaves there; remove "
                        f"{folder} or choose another output folder"
                    )
    except FileExistsError:
        raise OutputError(
            f"{folder}: is a link, a file or another user's, and Forge keeps a folder of its own there; "
            "remove it or choose another output folder"
        ) from None
    except OSError as fault:
        raise output_fault(fault, folder) from fault
    return folder
