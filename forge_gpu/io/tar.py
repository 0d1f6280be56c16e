"""The files of a tar archive as they come, without any of them written anywhere.

Of ustar, GNU and pax archives, and several of them one behind the other. What could lead elsewhere (links,
devices) or lie about its size (sparse files) is refused; names are texts alone, and are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator

from forge_gpu.plain import frozen

BLOCK = 512
MOST_NAME = 4096
MOST_PAX = 2**16
PIECE = 2**20
_FILES = b"0\0007"
_PASSED_OVER = b"5gV"
"""Folders, what pax says of all that follows, and the name of the archive."""


class TarFault(Exception):
    """offset: in the archive. is_end: whether the archive ends early there."""

    def __init__(self, offset: int, what: str, is_end: bool = False) -> None:
        super().__init__(what)
        self.offset, self.what, self.is_end = offset, what, is_end


@frozen
class Member:
    """A file. offset: of its header in the archive. pieces: its bytes, to be taken before the next member
    is asked for; what is not taken is passed over."""

    name: str
    size: int
    offset: int
    pieces: Iterator[bytes]


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def members(blocks: Iterator[bytes]) -> Iterator[Member]:
    """The files of an archive that comes in blocks of any size. Raises TarFault."""
    stream = _Stream(blocks)
    name, size = b"", None
    while head := stream.head():
        at, kind = stream.offset - BLOCK, head[156:157]
        if not head.strip(b"\0"):
            continue  # an end; another archive may follow
        _require_sum(head, at)
        own = _number(head[124:136], at)
        if kind == b"L":
            name = stream.whole(own, MOST_NAME, "a name", at).rstrip(b"\0")
        elif kind == b"x":
            said = _pax(stream.whole(own, MOST_PAX, "a pax header", at), at)
            name, size = said.get(b"path", name), said.get(b"size", size)
        elif kind in _PASSED_OVER:
            stream.pass_over(_padded(own))
            name, size = b"", None
        elif kind in _FILES:
            given = name or _name(head)
            own = own if size is None else _decimal(size, at)
            if len(given) > MOST_NAME:
                raise TarFault(at, f"has a name of {len(given):,} bytes")
            pieces = stream.pieces(own)
            yield Member(given.decode("utf-8", "replace"), own, at, pieces)
            for _ in pieces:
                pass
            stream.pass_over(_padded(own) - own)
            name, size = b"", None
        else:
            shown = (name or _name(head))[:80].decode("utf-8", "replace")
            raise TarFault(at, f"holds {_WHAT.get(kind, 'something that is not a file')}: {shown!r}")


_WHAT = {
    b"1": "a link",
    b"2": "a link",
    b"K": "a link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


class _Stream:
    """Bytes taken in order. offset: of the next."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._held, self._at, self.offset = blocks, b"", 0, 0

    def head(self) -> bytes:
        """The next header; nothing at the end of the archive."""
        made = b"".join(self._taken(BLOCK))
        if made and len(made) < BLOCK:
            raise TarFault(self.offset, "the archive is cut short", is_end=True)
        return made

    def pieces(self, size: int) -> Iterator[bytes]:
        left = size
        for piece in self._taken(size):
            left -= len(piece)
            yield piece
        if left:
            raise TarFault(self.offset, "the archive is cut short", is_end=True)

    def whole(self, size: int, most: int, what: str, at: int) -> bytes:
        if size > most:
            raise TarFault(at, f"has {what} of {size:,} bytes")
        return b"".join(self.pieces(_padded(size)))[:size]

    def pass_over(self, size: int) -> None:
        for _ in self.pieces(size):
            pass

    def _taken(self, size: int) -> Iterator[bytes]:
        while size:
            if self._at == len(self._held):
                self._held, self._at = next(self._blocks, b""), 0
                if not self._held:
                    return
            piece = self._held[self._at : self._at + min(size, PIECE)]
            self._at += len(piece)
            self.offset += len(piece)
            size -= len(piece)
            yield piece


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _name(head: bytes) -> bytes:
    name, prefix = (head[part].split(b"\0", 1)[0] for part in (slice(0, 100), slice(345, 500)))
    return prefix + b"/" + name if prefix and head[257:263] == b"ustar\0" else name


def _require_sum(head: bytes, at: int) -> None:
    if sum(head) - sum(head[148:156]) + 8 * ord(" ") != _number(head[148:156], at):
        raise TarFault(at, "the archive is damaged: a header does not have its sum")


def _number(field: bytes, at: int) -> int:
    """Octal digits, or, as GNU has large ones, a first bit and a binary number."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        raise TarFault(at, "the archive is damaged: a header has a field that is not a number") from None


def _decimal(text: bytes, at: int) -> int:
    if not text.isdigit() or len(text) > 19:
        raise TarFault(at, "the archive is damaged: a pax header has a size that is not a number")
    return int(text)


def _pax(content: bytes, at: int) -> dict[bytes, bytes]:
    """Records of a length, a blank, a key, a sign of equality, a value and a line's end."""
    result: dict[bytes, bytes] = {}
    while content:
        length, blank, _ = content[:24].partition(b" ")
        size = int(length) if length.isdigit() else 0
        record = content[len(length) + 1 : size]
        key, equal, value = record.partition(b"=")
        if not blank or not equal or size > len(content) or not record.endswith(b"\n"):
            raise TarFault(at, "the archive is damaged: a pax header cannot be read")
        if key.startswith(b"GNU.sparse."):
            raise TarFault(at, "holds a sparse file")
        result[key] = value[:-1]
        content = content[size:]
    return result
