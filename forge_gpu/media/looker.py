"""What media are: of files the beginning, the end and, where it is asked for, a digest is looked at once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import Any

from ruamel.yaml import YAML

from forge_gpu.media.aside import put_aside
from forge_gpu.media.headers import Header, HeaderReader
from forge_gpu.media.references import FILES
from forge_gpu.media.sources import Bytes, File, Source, Url
from forge_gpu.plain import frozen

EDGE = 2**16
"""Bytes of the beginning and of the end of a file that are looked at first."""
WHOLE = 64 * 2**20
"""A file of more bytes is not given to the worker whole, where its edges do not tell."""
BLOCK = 2**20
REMEMBERED = 2**12
"""Files of which a process knows what they are: about a KiB each."""
AT_ONCE = 128
"""Sources whose edges are held at once."""
READ = ("images", "audios")
"""Kinds whose headers are read. Of a video it is looked at that it is one."""


@frozen
class Seen:
    """What a source is. state: ok, missing, outside, url, unreadable. path: of a file, or of bytes that were
    put aside; empty without any. kind: by its content, empty where that is not known. suffix: of a copy.
    sha256: empty where it was not asked for. fault: why it cannot be read."""

    state: str
    path: str = ""
    size: int = 0
    changed: int = 0
    kind: str = ""
    suffix: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    fault: str = ""

    @property
    def is_here(self) -> bool:
        return self.state == "ok"

    def is_as_it_was(self) -> bool:
        """Whether a file is what it was, and one that was missing still is."""
        if not self.path:
            return True
        try:
            found = os.stat(self.path)
        except OSError:
            return self.state == "missing"
        return (found.st_size, found.st_mtime_ns) == (self.size, self.changed)


@cache
def signatures() -> list[tuple[str, str, int, bytes]]:
    """Kind, suffix, place and bytes: see signatures.yaml."""
    text = (files("forge_gpu.media") / "signatures.yaml").read_text(encoding="utf-8")
    loaded: list[Mapping[str, Any]] = YAML(typ="safe", pure=True).load(text)
    return [(each["kind"], each["suffix"], each["at"], bytes.fromhex(str(each["bytes"]))) for each in loaded]


def kind_of(head: bytes) -> tuple[str, str]:
    """(kind, suffix) by how a file begins; ("", "") of what is none of them."""
    for kind, suffix, at, mark in signatures():
        if head.startswith(mark, at):
            return kind, suffix
    return "", ""


class Looker:
    """Threads share it. digests: whether each has a SHA-256. aside: the folder where contents are found by
    it; None where they need not be. headers: whether it is asked what headers say."""

    def __init__(self, digests: bool, aside: Path | None, headers: bool = True) -> None:
        self._digests, self._aside, self._reads = digests or aside is not None, aside, headers
        self._headers = HeaderReader()
        self._known: OrderedDict[tuple[str, int, int], Seen] = OrderedDict()
        self._lock = Lock()

    def close(self) -> None:
        self._headers.close()

    def look(self, sources: Sequence[Source]) -> list[Seen]:
        """Raises ConfigError where a library is not installed."""
        return [
            seen
            for first in range(0, len(sources), AT_ONCE)
            for seen in self._look(sources[first : first + AT_ONCE])
        ]

    def _look(self, sources: Sequence[Source]) -> list[Seen]:
        result: list[Seen] = []
        asked: dict[int, Header] = {}
        for number, source in enumerate(sources):
            seen, header = self._first(source)
            result.append(seen)
            if header is not None:
                asked[number] = header
        self._ask(sources, asked, result)
        return result

    def _first(self, source: Source) -> tuple[Seen, Header | None]:
        """What is known without the worker, and what it is to be asked."""
        match source:
            case Bytes(content=bytes() as content):
                return self._of_bytes(content)
            case File(path=str() as path):
                return self._of_file(path)
            case Url():
                return Seen("url"), None
            case Bytes():
                return Seen("unreadable", fault="it is no base64"), None
            case File():
                return Seen("outside"), None

    def _of_bytes(self, content: bytes) -> tuple[Seen, Header | None]:
        sha256 = hashlib.sha256(content).hexdigest() if self._digests else ""
        if self._aside is not None:
            put_aside(self._aside, sha256, "", content)
        seen = Seen("ok", "", len(content), sha256=sha256)
        return self._described(seen, content[:EDGE], content[EDGE:][-EDGE:])

    def _of_file(self, path: str) -> tuple[Seen, Header | None]:
        try:
            with open(path, "rb", opener=_open_only) as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    return Seen("unreadable", path, fault="it is not a file"), None
                key = path, found.st_size, found.st_mtime_ns
                with self._lock:
                    known = self._known.get(key)
                if known is not None:
                    return known, None
                head = file.read(EDGE)
                tail = _end_of(file, found.st_size)
                sha256 = _digest(file) if self._digests else ""
        except (FileNotFoundError, NotADirectoryError):
            return Seen("missing", path), None
        except (OSError, ValueError) as fault:
            return Seen("unreadable", path, fault=getattr(fault, "strerror", None) or str(fault)), None
        if self._aside is not None:
            put_aside(self._aside, sha256, path, None)
        seen, header = self._described(Seen("ok", *key, sha256=sha256), head, tail)
        if header is None:
            self._remember(seen)
        return seen, header

    def _described(self, seen: Seen, head: bytes, tail: bytes) -> tuple[Seen, Header | None]:
        if not seen.size:
            return replace(seen, state="unreadable", fault="it is empty"), None
        kind, suffix = kind_of(head)
        seen = replace(seen, kind=kind, suffix=suffix)
        return seen, Header(kind, seen.size, head, tail) if self._reads and kind in READ else None

    def _ask(self, sources: Sequence[Source], asked: Mapping[int, Header], result: list[Seen]) -> None:
        """Have the worker read headers; where edges do not tell, the whole of a file that is not too long."""
        again: dict[int, Header] = {}
        answers = self._headers.read(list(asked.values()))
        for (number, header), answer in zip(asked.items(), answers, strict=True):
            is_last = header.is_whole() or header.size > WHOLE
            unsure = isinstance(answer, str) or result[number].suffix == "mp3"
            if unsure and not is_last:
                content = _content(sources[number])
                again[number] = Header(header.kind, len(content), content, b"")
                if sum(each.size for each in again.values()) > WHOLE:
                    self._ask(sources, again, result)
                    again = {}
                continue
            result[number] = _answered(result[number], answer)
            if result[number].path:
                self._remember(result[number])
        if again:
            self._ask(sources, again, result)

    def _remember(self, seen: Seen) -> None:
        with self._lock:
            self._known[seen.path, seen.size, seen.changed] = seen
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def _answered(seen: Seen, answer: Mapping[str, Any] | str) -> Seen:
    if isinstance(answer, str):
        return replace(seen, state="unreadable", fault=answer)
    known = {name: answer[name] for name in ("width", "height", "seconds") if name in answer}
    return replace(seen, **known)


def _open_only(path: str, flags: int) -> int:
    """Without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def _end_of(file: BufferedReader, size: int) -> bytes:
    if size <= EDGE:
        return b""
    file.seek(max(EDGE, size - EDGE))
    return file.read(EDGE)


def _digest(file: BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _content(source: Source) -> bytes:
    match source:
        case Bytes(content=content):
            return content or b""
        case File(path=path):
            assert path is not None
            with open(path, "rb", opener=_open_only) as file:
                return file.read(WHOLE + 1)
    return b""


def mime_of(seen: Seen) -> str:
    """The type of a file, for a data URL."""
    if not seen.kind:
        return "application/octet-stream"
    return f"{seen.kind.removesuffix('s')}/{_SUBTYPES.get(seen.suffix, seen.suffix)}"


_SUBTYPES = {
    "jpg": "jpeg",
    "tif": "tiff",
    "mp3": "mpeg",
    "m4a": "mp4",
    "mov": "quicktime",
    "avi": "x-msvideo",
}


def as_values(seen: Seen) -> dict[str, Any]:
    """What differs from nothing, for JSON."""
    return {name: value for name, value in asdict(seen).items() if value}


def is_of_kind(seen: Seen, kind: str) -> bool:
    """Whether a medium is what it is named as; a film may be a sound's file."""
    return kind == FILES or seen.kind == kind or (kind == "audios" and seen.suffix in ("mp4", "webm"))
