"""Records that are files of one key in a tar archive, as webdataset writes them, as JSON lines.

`cats/12.jpg`, `cats/12.txt` and `cats/12.json` one behind the other are a record: its key, a text, a file
with its bytes in base64, as `datasets` has them, and the members of the JSON object beside them.
"""

from __future__ import annotations

import posixpath
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from forge_gpu.errors import InputError
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.tar import Member, TarFault, members

KEY = "__key__"
TEXTS = frozenset({"txt", "text", "transcript", "caption", "cap"})
NUMBERS = frozenset({"cls", "cls2", "class", "count", "index", "inx", "id"})
OBJECTS = frozenset({"json", "jsn"})
THREES = 3 * 2**18
"""Bytes that become base64 at once: without a remainder."""

_IN_NO_TEXT = re.compile(rb'[\x00-\x1f"\\]')
"""What a text of JSON spells otherwise."""

Write = Callable[[bytes], object]


def write_lines(blocks: Iterator[bytes], limit: int, write: Write) -> None:
    """Each record as a line. limit: bytes of a line; of a longer one nothing is held. Raises TarFault."""
    line: _Line | None = None
    for member in members(blocks):
        folder, name = posixpath.split(member.name)
        stem, dot, suffix = name.partition(".")
        if not stem or not dot:
            continue  # hidden, or not a part of a record
        key = posixpath.join(folder, stem)
        if line is None or line.key != key:
            if line is not None:
                line.end()
            line = _Line(key, limit, write)
        line.add(member, suffix.lower())
    if line is not None:
        line.end()


def fault_of(file: InputFile, fault: TarFault) -> InputError:
    """What a user is told of an archive."""
    return InputError(
        f"{file.path}: {fault.what}, at byte {fault.offset}; Forge reads archives of plain files, as "
        "webdataset writes them"
    )


class _Line:
    """A record that is being made."""

    def __init__(self, key: str, limit: int, write: Write) -> None:
        self.key = key
        self._limit, self._write = limit, write
        self._names = {KEY}
        self._held: list[bytes] = []
        self._size = 0
        self._objects: list[tuple[str, Any]] = []
        self._put(b'{"' + KEY.encode() + b'":' + orjson.dumps(key))

    def add(self, member: Member, suffix: str) -> None:
        if suffix in self._names:
            raise TarFault(member.offset, f"has {suffix!r} twice for {self.key[:80]!r}")
        self._names.add(suffix)
        if member.size <= self._limit and suffix in OBJECTS | TEXTS | NUMBERS:
            self._take(suffix, b"".join(member.pieces))
            return
        name = orjson.dumps(posixpath.basename(member.name))
        self._put(b"," + orjson.dumps(suffix) + b':{"path":' + name + b',"bytes":"')
        for piece in _in_threes(member.pieces):
            self._put(b64encode(piece))
        self._put(b'"}')

    def _take(self, suffix: str, content: bytes) -> None:
        try:
            text = content.decode()
        except UnicodeDecodeError:  # as of lines that are not, the row is rejected for it
            self._put(b"," + orjson.dumps(suffix) + b':"' + _IN_NO_TEXT.sub(b" ", content) + b'"')
            return
        if suffix in OBJECTS:
            try:
                self._objects.append((suffix, orjson.loads(content)))
                return
            except orjson.JSONDecodeError:
                pass  # it stays a text, which no mapping fits
        value = int(text) if suffix in NUMBERS and text.strip().isdecimal() and len(text) < 16 else text
        self._put(b"," + orjson.dumps(suffix) + b":" + orjson.dumps(value))

    def end(self) -> None:
        for suffix, value in self._objects:
            is_beside = isinstance(value, dict) and not (self._names & value.keys())
            for name, each in (value if is_beside else {suffix: value}).items():
                self._names.add(name)
                self._put(b"," + orjson.dumps(name) + b":" + orjson.dumps(each))
        self._put(b"}\n")
        self._flush()

    def _put(self, piece: bytes) -> None:
        self._held.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            self._flush()

    def _flush(self) -> None:
        for piece in self._held:
            self._write(piece)
        self._held = []


def _in_threes(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= THREES:
            yield rest[:THREES]
            rest = rest[THREES:]
    if rest:
        yield rest
