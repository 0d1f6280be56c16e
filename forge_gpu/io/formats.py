"""What a file is, by its content: its suffix only settles what the content leaves open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

import orjson

from forge_gpu.errors import InputError
from forge_gpu.io.dialects import RFC_4180, Dialect, dialect_of
from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.odd_texts import what_it_is, why_broken
from forge_gpu.io.streams import (
    UTF8_BOM,
    Damaged,
    as_utf8,
    compression_of,
    compression_of_stub,
    decompressed,
    plain_encoding,
)

Kind = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "arrow_stream", "empty"]
HEAD_BYTES = 2**20
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\x1a\x1b")
SAMPLE_RECORDS = 200
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or an office document)",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
}


@dataclass(frozen=True, slots=True)
class Head:
    """The first bytes of a file, decompressed; whether they are all of it; its compression; the damage that
    ended them."""

    data: bytes
    whole: bool
    compression: str | None
    damage: Damaged | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """kind: "jsonl" lines, "json" an array of records, tables, or "empty" (no rows). compression: "gzip",
    "zstd" or None. encoding: of the text. mark: bytes of a UTF-8 byte order mark that begins a file which
    is read where it lies. dialect: of csv and tsv."""

    kind: Kind
    compression: str | None = None
    encoding: str = "utf-8"
    mark: int = 0
    dialect: Dialect = RFC_4180

    @property
    def is_text(self) -> bool:
        return self.kind in ("jsonl", "json", "csv", "tsv", "empty")


def detect(
    file: InputFile, format: str = "auto", encoding: str = "utf-8", on_retry: OnRetry = ignore_retry
) -> Format:
    """What `file` is. format: a kind that the user named, else "auto". encoding: likewise; UTF-16 and
    UTF-32 with a byte order mark are found without being named.

    Raises InputError for a file that is no data, with what it is instead.
    """
    return detect_in(file, read_head(file, on_retry), format, encoding)


def detect_in(file: InputFile, first: Head, format: str = "auto", encoding: str = "utf-8") -> Format:
    """As `detect`, of a file whose first bytes were read. Where these are damaged and say nothing of what
    the file is, the damage is what is told."""
    try:
        return _detected(file, first, format, encoding)
    except InputError as fault:
        if first.damage is None:
            raise
        raise first.damage.fault(file) from fault


def _detected(file: InputFile, first: Head, format: str, encoding: str) -> Format:
    head, whole, compression = first.data, first.whole, first.compression
    if head.startswith(b"PAR1") and format in ("auto", "parquet"):
        return Format("parquet", compression)
    if head.startswith(b"ARROW1") and format in ("auto", "arrow"):
        return Format("arrow", compression)
    if head.startswith(b"\xff\xff\xff\xff") and format in ("auto", "arrow"):
        return Format("arrow_stream", compression)
    if format in ("parquet", "arrow"):
        if not head:
            return Format("empty", compression)
        raise InputError(
            f"{file.path}: is not {format}: it does not begin as such a file does; leave data.format at auto"
        )
    result = Format("empty", compression, _encoding_of(head, encoding))
    if result.encoding == "utf-8" and head.startswith(UTF8_BOM):
        result, head = replace(result, mark=len(UTF8_BOM)), head[len(UTF8_BOM) :]
    elif result.encoding != "utf-8":
        head = b"".join(as_utf8(iter([head]), result.encoding)).removeprefix(UTF8_BOM)
    if not whole:  # the last record is cut
        head = head[: head.rfind(b"\n") + 1] or head
    if not head.strip():
        return result if whole or first.damage else replace(result, kind="jsonl")
    if format == "jsonl":
        return replace(result, kind="jsonl")
    if format == "json":
        return replace(result, kind="json")
    if format == "auto":
        _refuse_binary(file, head, result)
        _refuse_odd(file, head)
    return _text_format(file, head, whole, format, result)


def read_head(file: InputFile, on_retry: OnRetry = ignore_retry) -> Head:
    """Raises InputError. A damaged container gives what can be read before the damage, and the damage."""
    parts: list[bytes] = []
    have = 0
    damage = None
    with file.open(on_retry) as handle:
        begin = handle.read(8)
        compression = compression_of(begin) or compression_of_stub(file.path, begin)
        handle.seek(0)
        if compression is None:
            head = handle.read(HEAD_BYTES + 1)
            return Head(head, len(head) <= HEAD_BYTES, None)
        try:
            for block in decompressed(handle, compression, file):
                parts.append(block)
                have += len(block)
                if have > HEAD_BYTES:
                    break
        except Damaged as met:  # whoever reads on will meet it too, and say so
            damage = met
    head = b"".join(parts)
    return Head(head[:HEAD_BYTES], len(head) <= HEAD_BYTES and damage is None, compression, damage)


def _encoding_of(head: bytes, named: str) -> str:
    encoding = plain_encoding(named)
    if encoding != "utf-8":
        return encoding
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    return "utf-8"


def _refuse_binary(file: InputFile, head: bytes, format: Format) -> None:
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise InputError(
                f"{file.path}: not a data file: it is {what}; convert it to JSON lines or Parquet"
            )
    sample = head[: 64 * 2**10]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if format.encoding == "utf-8" and max(even, odd) > len(sample) // 4:
        order = "le" if odd > even else "be"
        raise InputError(
            f"{file.path}: looks like UTF-16 without a byte order mark; name it with "
            f"data.encoding: utf-16-{order}"
        )
    control = len(sample) - len(sample.translate(None, _CONTROL))
    if control > 3 + len(sample) // 50:
        raise InputError(
            f"{file.path}: not a data file: it holds binary data that no format known here begins with"
        )


def _refuse_odd(file: InputFile, head: bytes) -> None:
    what = what_it_is(file.path, head)
    if what is not None:
        raise InputError(f"{file.path}: not a data file: it is {what}")
    why = why_broken(file.path, head)
    if why is not None:
        raise InputError(f"{file.path}: no JSON as it stands: it is {why}")


def _text_format(file: InputFile, head: bytes, whole: bool, format: str, result: Format) -> Format:
    lines = [line for line in head.split(b"\n", 4 * SAMPLE_RECORDS)[: 4 * SAMPLE_RECORDS] if line.strip()]
    if format == "auto":
        first = head.lstrip()[:1]
        if first == b"[" and not (_complete(lines[0]) and len(lines) > 1):
            return replace(result, kind="json")
        objects = _objects_among(lines)
        if objects * 2 >= len(lines) or first == b"[":
            return replace(result, kind="jsonl")
        if first == b"{":
            return replace(result, kind=_objects(file, lines, objects))
    dialect = _dialect(file, head, whole, format)
    if dialect is not None:
        return replace(result, kind="tsv" if dialect.delimiter == "\t" else "csv", dialect=dialect)
    if format == "auto" and any(line.startswith(b"{") and _complete(line) for line in lines):
        return replace(result, kind="jsonl")
    raise InputError(
        f"{file.path}: not a data file: neither JSON, nor a table with the same number of fields in each "
        "row; name it with data.format if it is one"
    )


def _objects_among(lines: list[bytes]) -> int:
    """How many lines are JSON objects; where they are half of all, no more are looked at."""
    objects = 0
    for line in lines:
        objects += line.startswith(b"{") and _complete(line)
        if objects * 2 >= len(lines):
            break
    return objects


def _objects(file: InputFile, lines: list[bytes], objects: int) -> Literal["jsonl"]:
    """A text that begins with a brace: lines, some of them bad, or one object spread over lines."""
    if len(lines) == 1 or objects or lines[0].rstrip().endswith(b"}"):
        return "jsonl"
    raise InputError(
        f"{file.path}: one JSON object over several lines, not records; Forge reads an object a line or an "
        f"array of objects: jq -c . {PurePosixPath(file.path).name} > records.jsonl makes lines (or "
        "jq -c '.KEY[]' if the records are a list under a key)"
    )


def _complete(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _dialect(file: InputFile, head: bytes, whole: bool, format: str) -> Dialect | None:
    """How the table is written; None where the text is none. One column is a table only if the user or the
    suffix says that the file is one."""
    named = format in ("csv", "tsv") or any(
        suffix in (".csv", ".tsv") for suffix in PurePosixPath(file.path.lower()).suffixes
    )
    return dialect_of(head, whole, named, "\t" if format == "tsv" else None)
