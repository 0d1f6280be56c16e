"""Where files lie in the output, named by what they hold; and files in rows, as data URLs."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from forge_gpu.config.schema import OutputConfig
from forge_gpu.errors import InputError, OutputError, ValidationError
from forge_gpu.io.atomic import PARTIAL, make_folder, require_no_link, write_several
from forge_gpu.media.aside import Content, find_aside
from forge_gpu.media.looker import Seen, mime_of
from forge_gpu.media.references import Reference

FOLDER = "media"
"""In the output folder."""
_NAME = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]{1,8})?")
_SUFFIX = re.compile(r"[a-z0-9]{1,8}")
_BLOCK = 2**20


def name_of(seen: Seen, reference: Reference) -> str:
    """The path of a file from the output folder."""
    suffix = seen.suffix
    if not suffix:
        last = os.path.splitext(reference.name if reference.is_content else reference.text)[1][1:].lower()
        suffix = last if _SUFFIX.fullmatch(last) else ""
    return f"{FOLDER}/{seen.sha256[:2]}/{seen.sha256}{'.' if suffix else ''}{suffix}"


class Placed:
    """Files of an output. contents: where they are found by their digest. links: whether they are links."""

    def __init__(self, output: Path, contents: Path, links: bool) -> None:
        self._output, self._contents, self._links = output, contents, links

    def place(self, named: Iterable[tuple[str, str]]) -> None:
        """Have files, (SHA-256, name) each, in the output, unless they are there. Raises OutputError;
        InputError where a file is no longer what was looked at."""
        writes: dict[Path, Callable[[Path], None]] = {}
        for sha256, name in dict.fromkeys(named):
            write = self._write_of(sha256, self._output / name)
            if write is not None:
                folder = (self._output / name).parent
                for each in (folder.parent, folder):
                    require_no_link(each)
                writes[make_folder(folder) / Path(name).name] = write
        if writes:
            write_several(writes)

    def _write_of(self, sha256: str, place: Path) -> Callable[[Path], None] | None:
        """What writes a file; None where it is there."""
        content = _content(self._contents, sha256)
        size = content.file.stat().st_size if content.file.exists() else -1
        is_link = self._links and not content.is_of_record
        if size < 0:
            raise _changed(content.file)
        if place.is_symlink() == is_link and place.exists() and place.stat().st_size == size:
            return None
        return partial(_link if is_link else _copy, content.file, sha256)

    def files(self) -> Iterator[Path]:
        """Those that are there, in the order of their names."""
        for path in sorted(self._all()):
            if _NAME.fullmatch(path.name):
                yield path

    def _all(self) -> list[Path]:
        """What lies in its folders; what a link leads to is not the output's."""
        folder = self._output / FOLDER
        if folder.is_symlink():
            return []
        return [path for path in folder.glob("??/*") if not path.parent.is_symlink()]

    def bytes(self) -> int:
        return sum(path.lstat().st_size for path in self.files())

    def remove_stale(self, named: Collection[str]) -> None:
        """Remove files of earlier jobs, and what killed runs were writing."""
        for path in self._all():
            is_stale = _NAME.fullmatch(path.name) and path.name.partition(".")[0] not in named
            if is_stale or (path.name.endswith(PARTIAL) and _NAME.match(path.name)):
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()
        with suppress(OSError):
            (self._output / FOLDER).rmdir()

    def check(self) -> None:
        """Raise ValidationError for a file that does not hold what its name says."""
        for path in self.files():
            try:
                digest = _digest(path)
            except OSError as fault:
                raise OutputError(f"{path}: does not read back: {fault.strerror}") from fault
            if digest != path.name.partition(".")[0]:
                raise ValidationError(f"{path}: does not hold what was copied; check the disk")


class Embedded:
    """Files that stand in rows as data URLs. While a job works, rows have a text in their place that `secret`
    begins: no record can foresee it."""

    def __init__(self, secret: str, contents: Path) -> None:
        self._secret, self._contents = secret, contents
        self._pattern = re.compile(secret.encode() + rb":([0-9a-f]{64})")

    def url(self, seen: Seen) -> str:
        return f"data:{mime_of(seen)};base64,{self._secret}:{seen.sha256}"

    def filled(self, line: bytes) -> bytes:
        """A line with the files in it."""
        return self._pattern.sub(lambda found: self._content(found[1].decode()), line)

    def _content(self, sha256: str) -> bytes:
        file = _content(self._contents, sha256).file
        content = file.read_bytes() if file.exists() else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _changed(file)
        return b64encode(content)


def section_of(output: OutputConfig, placed: Placed, named: Collection[str]) -> dict[str, Any]:
    """What the manifest says of the files; those of earlier jobs are removed, the others read back."""
    placed.remove_stale(named if output.media in ("link", "copy") else ())
    if output.verify:
        placed.check()
    files = list(placed.files())
    return {"media": output.media, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _link(source: Path, sha256: str, place: Path) -> None:
    place.unlink()
    os.symlink(source, place)


def _copy(source: Path, sha256: str, place: Path) -> None:
    digest = hashlib.sha256()
    with open(source, "rb") as file, open(place, "wb") as copy:
        while block := file.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    if digest.hexdigest() != sha256:
        raise _changed(source)


def _content(contents: Path, sha256: str) -> Content:
    """Raises OutputError where a run's own files are gone."""
    content = find_aside(contents, sha256)
    if content is None:
        raise OutputError(f"{contents}: a file of a run that goes on is gone; start anew with --fresh")
    return content


def _changed(file: Path) -> InputError:
    return InputError(f"{file}: changed while it was read; run the command again")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
