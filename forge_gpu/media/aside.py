"""Contents, found by their digest: a link to a file, or bytes of a record, put aside."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from forge_gpu.io.atomic import make_folder, write_checked


def content_path(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


def put_aside(folder: Path, sha256: str, path: str, content: bytes | None) -> None:
    """Have a content found by its digest: as a link to its file, or as a file, where it is of a record."""
    place = content_path(folder, sha256)
    if os.path.lexists(place):
        return
    make_folder(place.parent)
    if content is not None:
        write_checked(place, content)
        return
    with suppress(FileExistsError):  # another thread was quicker
        os.symlink(path, place)
