"""A file as a stream of decoded blocks: decompressed, and as UTF-8."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module
from itertools import repeat
from typing import Any, BinaryIO

from forge_gpu.errors import ConfigError, InputError
from forge_gpu.in_turn import in_turn
from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss

BLOCK = 2**20
"""Bytes of a block of a compressed or remote file; part of what a damaged file's kept prefix depends on."""

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
UTF8_BOM = b"\xef\xbb\xbf"


OnRead = Callable[[int], None]
"""Hears up to which byte of a file, as it lies, was read; by the thread that reads."""


def ignore_read(position: int) -> None:
    """Hears nothing."""


class Damaged(Exception):
    """The container cannot be read past byte `offset` of the file as it lies on disk."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset = offset
        self.what = what

    def fault(self, file: InputFile) -> InputError:
        """What a user is told, where nothing of the file is to be kept."""
        return InputError(
            f"{file.path}: {self.what} at byte {self.offset}; fetch the file again, or keep what "
            "comes before with data.on_corrupt: keep_prefix"
        )


def compression_of(head: bytes) -> str | None:
    """ "gzip", "zstd" or None, by the first bytes."""
    if head.startswith(GZIP):
        return "gzip"
    skippable = head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F
    return "zstd" if head.startswith(ZSTD) or skippable else None


def compression_of_stub(name: str, head: bytes) -> str | None:
    """What a file is compressed by, by its name, where it is cut before its first bytes can say so."""
    for suffix, magic, compression in ((".gz", GZIP, "gzip"), (".zst", ZSTD, "zstd")):
        if name.lower().endswith(suffix) and len(head) < len(magic) and magic.startswith(head):
            return compression
    return None


def plain_encoding(name: str) -> str:
    """The canonical name of an encoding; "utf-8" for all those that are UTF-8 already.

    Raises ConfigError for a name that no text encoding has.
    """
    try:
        codec = codecs.lookup(name)
        if not codec._is_text_encoding:
            raise LookupError(name)
    except LookupError:
        raise ConfigError(
            f"data.encoding: there is no encoding {name!r}; examples: utf-8, utf-16, cp1252, shift_jis"
        ) from None
    return "utf-8" if codec.name in ("utf-8", "utf-8-sig", "ascii") else codec.name


def decoded_blocks(
    file: InputFile,
    compression: str | None,
    encoding: str | None,
    keep_prefix: bool,
    losses: list[Loss],
    on_retry: OnRetry = ignore_retry,
    on_read: OnRead = ignore_read,
) -> Iterator[bytes]:
    """The file's content, in blocks of any size: as UTF-8 without a byte order mark, or, with encoding
    None, the bytes as they are.

    Bytes that `encoding` does not know become bytes that are not UTF-8, so that the rows which hold them
    are rejected, and no others. A damaged container raises InputError with the offset; with keep_prefix
    the stream ends there and `losses` is told.
    """
    try:
        with file.open(on_retry) as handle:
            if compression == "gzip" and not keep_prefix:
                plain = _gunzip_fast(handle, lambda: file.open(on_retry))
            else:
                plain = decompressed(handle, compression, file)
            blocks = _undamaged(_told(plain, handle, on_read), file, keep_prefix, losses)
            yield from blocks if encoding is None else _without_mark(as_utf8(blocks, encoding))
    except OSError as fault:
        raise InputError(f"{file.path}: reading failed: {fault.strerror or fault}") from fault


def ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, of which a thread makes the next two while one is worked on."""
    with ThreadPoolExecutor(1, "forge-decode") as pool:
        for block in in_turn(lambda _: pool.submit(next, blocks, None), repeat(None), lambda: 2):
            if block is None:
                return
            yield block


def raw_blocks(handle: BinaryIO) -> Iterator[bytes]:
    while block := handle.read(BLOCK):
        yield block


def _told(blocks: Iterator[bytes], handle: BinaryIO, on_read: OnRead) -> Iterator[bytes]:
    for block in blocks:
        on_read(handle.tell())
        yield block


def _undamaged(
    blocks: Iterator[bytes], file: InputFile, keep_prefix: bool, losses: list[Loss]
) -> Iterator[bytes]:
    try:
        yield from blocks
    except Damaged as damage:
        if not keep_prefix:
            raise damage.fault(file) from damage
        losses.append(Loss(damage.what, damage.offset))


def decompressed(handle: BinaryIO, compression: str | None, file: InputFile) -> Iterator[bytes]:
    if compression == "gzip":
        return _gunzip(handle)
    if compression == "zstd":
        return _unzstd(handle)
    return _whole(handle, file)


def _whole(handle: BinaryIO, file: InputFile) -> Iterator[bytes]:
    """The bytes as they are; a download that ends early is damage."""
    done = 0
    for block in raw_blocks(handle):
        yield block
        done += len(block)
    if file.size is not None and done < file.size:
        raise Damaged(done, f"the file ends early ({file.size} bytes were announced)")


def _gunzip_fast(handle: BinaryIO, again: Callable[[], BinaryIO]) -> Iterator[bytes]:
    """As `_gunzip`, in half the time or less where isal is installed. What that cannot decode zlib reads once
    more from the beginning, by `again`: it says what is damaged, and where, or goes on."""
    isal = _isal()
    if isal is None:
        yield from _gunzip(handle)
        return
    given = 0
    try:
        for piece in _gunzip(handle, partial(isal.decompressobj, wbits=31), _pieces):
            yield piece
            given += len(piece)
        return
    except (isal.IsalError, Damaged):
        pass
    with again() as anew:
        for piece in _gunzip(anew):
            yield piece[given:]
            given = max(given - len(piece), 0)


@cache
def _isal() -> Any:
    """The module of isal that takes the place of zlib; None where it is not installed."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return None


Member = Any
"""What decompresses a member of a gzip file: an object of zlib, or of a library that does as that does."""


def _gunzip(
    handle: BinaryIO,
    begin: Callable[[], Member] | None = None,
    inflate: Callable[[Member, bytes, int], Iterator[bytes]] | None = None,
) -> Iterator[bytes]:
    """All members of a gzip file, as RFC 1952 has it; zeros after a member are padding. A file without a
    member is cut short: even nothing, compressed, has one."""
    begin, inflate = begin or partial(zlib.decompressobj, wbits=31), inflate or _inflate
    done = 0  # compressed bytes used
    member: Member = None
    for block in raw_blocks(handle):
        while block:
            if member is None:
                stripped = block.lstrip(b"\0") if done else block
                done += len(block) - len(stripped)
                block = stripped
                if not block:
                    break
                if done and not GZIP.startswith(block[:2]):
                    raise Damaged(done, "what follows the gzip data is not gzip")
                member = begin()
            yield from inflate(member, block, done)
            done += len(block) - len(member.unused_data)
            block = member.unused_data
            if member.eof:
                member = None
    if member is not None or not done:
        raise Damaged(done, "the gzip data is cut short")


def _pieces(member: Member, block: bytes, done: int) -> Iterator[bytes]:
    """Decompress in bounded pieces."""
    while block:
        yield member.decompress(block, BLOCK)
        block = member.unconsumed_tail


def _inflate(member: Member, block: bytes, done: int) -> Iterator[bytes]:
    """Decompress in bounded pieces; at damage, everything before the damaged byte is still given."""
    before = member.copy()
    given, rest = 0, block
    try:
        while rest:
            piece = member.decompress(rest, BLOCK)
            yield piece
            given += len(piece)
            rest = member.unconsumed_tail
    except zlib.error as fault:
        text, at = _until_damage(before, block)
        yield text[given:]
        raise Damaged(done + at, f"the gzip data is damaged ({str(fault).rpartition(': ')[2]})") from fault


def _until_damage(member: Member, block: bytes) -> tuple[bytes, int]:
    """What a damaged block gives, and its byte that cannot be read: in large steps, then in single bytes."""
    pieces: list[bytes] = []
    at = 0
    for step in (4096, 1):
        while at < len(block):
            before = member.copy()
            try:
                pieces.append(member.decompress(block[at : at + step]))
            except zlib.error:
                member = before
                break
            at += step
    return b"".join(pieces), at


def _unzstd(handle: BinaryIO) -> Iterator[bytes]:
    """All frames of a zstd file."""
    import pyarrow as pa

    source = pa.PythonFile(handle, mode="r")
    stream = pa.CompressedInputStream(source, "zstd")
    empty = True
    while True:
        try:
            block = stream.read(64 * 2**10)
        except OSError as fault:
            cut = "Truncated" in str(fault)
            what = (
                "the zstd data is cut short"
                if cut
                else f"the zstd data is damaged ({str(fault).rpartition(': ')[2]})"
            )
            raise Damaged(source.tell(), what) from fault
        if not block:
            break
        empty = False
        yield block
    if empty and source.tell() == 0:
        raise Damaged(0, "the zstd data is cut short")


def _mark_undecodable(fault: UnicodeError) -> tuple[str, int]:
    assert isinstance(fault, UnicodeDecodeError)
    return "\udc80" * (fault.end - fault.start), fault.end


codecs.register_error("forge_gpu.mark", _mark_undecodable)


def as_utf8(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("forge_gpu.mark")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _without_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    for block in blocks:
        first += block
        if len(first) >= len(UTF8_BOM):
            break
    yield first.removeprefix(UTF8_BOM)
    yield from blocks
