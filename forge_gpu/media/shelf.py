"""What a job knows of media from one run to the next: a folder of its own.

`seen-…`: what was seen of the sources of some rows. `generation`: how often a file was found changed; the
checkpoint's key has it, so the job starts anew then.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.io.atomic import make_folder, write_atomic, write_checked
from forge_gpu.media.aside import find_aside
from forge_gpu.media.looker import Seen, as_values
from forge_gpu.media.references import Reference

SEEN = "seen-"
GENERATION = "generation"


class Shelf:
    """folder: of the job, private to it. by_content: where files are found by their SHA-256, in a job."""

    def __init__(self, folder: Path, by_content: Path) -> None:
        self.folder, self.by_content = folder, by_content

    def open(self) -> int:
        """Forget all where a file is no longer what it was; how often that has happened."""
        make_folder(self.folder)
        path = self.folder / GENERATION
        held = path.read_bytes().split() if path.exists() else []
        if not held:
            held = [b"0", secrets.token_hex(16).encode()]
            write_atomic(path, b" ".join(held))
        if any(not each.is_as_it_was() for each in self.every()):
            for file in self.folder.glob(f"{SEEN}*"):
                file.unlink(missing_ok=True)
            shutil.rmtree(self.by_content, ignore_errors=True)
            held[0] = str(int(held[0]) + 1).encode()
            write_atomic(path, b" ".join(held))
        return int(held[0])

    @property
    def secret(self) -> str:
        """A text of this job that no record can foresee."""
        return (self.folder / GENERATION).read_bytes().split()[1].decode()

    def every(self) -> Iterator[Seen]:
        """All that was seen so far; a source of several rows comes several times."""
        for path in sorted(self.folder.glob(f"{SEEN}*")):
            yield from _loaded(path) or ()

    def find(self, references: Sequence[Reference], where: str) -> list[Seen] | None:
        """What was seen of these before."""
        path = self._path(references, where)
        seen = _loaded(path) if path.exists() else None
        return seen if seen is not None and len(seen) == len(references) else None

    def holds(self, seen: Seen) -> bool:
        """Whether what is to be found by its content is."""
        return not seen.sha256 or find_aside(self.by_content, seen.sha256) is not None

    def note(self, references: Sequence[Reference], where: str, seen: Sequence[Seen]) -> None:
        write_checked(self._path(references, where), orjson.dumps([as_values(each) for each in seen]))

    def _path(self, references: Sequence[Reference], where: str) -> Path:
        digest = hashlib.blake2b(where.encode("utf-8", "surrogatepass"), digest_size=20)
        for each in references:
            digest.update(f"\0{each.kind}\0{each.is_content:d}\0".encode())
            digest.update(each.text.encode("utf-8", "surrogatepass"))
        return self.folder / f"{SEEN}{digest.hexdigest()}"


def _loaded(path: Path) -> list[Seen] | None:
    """None of a file that is torn."""
    try:
        values: list[dict[str, Any]] = orjson.loads(path.read_bytes())
        return [Seen(**each) for each in values]
    except (OSError, ValueError, TypeError):
        return None
