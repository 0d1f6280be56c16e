"""Contents, found by their digest: bytes of a record, or where the file is that has them.

The name of a file is written into one of its own: a link would lead out of the job's folder, which has none.
"""

from __future__ import annotations

import os
from pathlib import Path

from forge_gpu.io.atomic import make_folder, write_checked
from forge_gpu.plain import frozen

NAMED = ".path"


@frozen
class Content:
    """file: that has it. is_of_record: whether its bytes were put aside."""

    file: Path
    is_of_record: bool


def put_aside(folder: Path, sha256: str, path: str, content: bytes | None) -> None:
    """Have a content found by its digest. content: None where it is that of the file `path`."""
    place = _place(folder, sha256)
    if content is None:
        place, content = place.with_suffix(NAMED), os.fsencode(path)
    if not place.exists():
        make_folder(place.parent)
        write_checked(place, content)


def find_aside(folder: Path, sha256: str) -> Content | None:
    """None where nothing was put aside."""
    place = _place(folder, sha256)
    if place.exists():
        return Content(place, True)
    try:
        return Content(Path(os.fsdecode(place.with_suffix(NAMED).read_bytes())), False)
    except FileNotFoundError:
        return None


def _place(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256
