"""What a file is, by its content: its suffix only settles what the content leaves open."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from forge_gpu.errors import InputError
from forge_gpu.io.dialects import RFC_4180, SAMPLE_RECORDS, Dialect, at_its_begin, dialect_of
from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.json_cursor import is_json
from forge_gpu.io.json_guess import layout_of, lists_of_records
from forge_gpu.io.json_layouts import Layout
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
from forge_gpu.io.tar import is_tar
from forge_gpu.plain import frozen

Kind = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "arrow_stream", "tar", "empty"]
HEAD_BYTES = 2**20
MOST_FIRST_LINE = 2**28
"""How far the end of a first line is looked for."""
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\x1a\x1b")
_HOLE = re.compile(rb"\0{16,}")
"""What a writer that was cut off leaves where it had not written yet."""
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


@frozen
class Head:
    """The first bytes of a file, decompressed; whether they are all of it; its compression; the damage that
    ended them. first_line: its size, where it is longer than these bytes; follows: the bytes after it."""

    data: bytes
    whole: bool
    compression: str | None
    damage: Damaged | None = None
    first_line: int = 0
    follows: bytes = b""


@frozen
class Format:
    """kind: "jsonl" lines, "json" an array of records, tables, "tar" (files of one key are a record), or
    "empty" (no rows). compression: "gzip", "zstd" or None. encoding: of the text. mark: bytes of a UTF-8 byte
    order mark that begins a file which is read where it lies. dialect: of csv and tsv. layout: where the
    records of JSON are, if it is neither lines nor an array of them."""

    kind: Kind
    compression: str | None = None
    encoding: str = "utf-8"
    mark: int = 0
    dialect: Dialect = RFC_4180
    layout: Layout | None = None

    @property
    def is_text(self) -> bool:
        return self.kind in ("jsonl", "json", "csv", "tsv", "empty")


def detect(
    file: InputFile,
    format: str = "auto",
    encoding: str = "utf-8",
    on_retry: OnRetry = ignore_retry,
    dialect: Dialect | None = None,
) -> Format:
    """What `file` is. format: a kind that the user named, else "auto". encoding: likewise; UTF-16 and
    UTF-32 with a byte order mark are found without being named. dialect: of tables of text, as the plan names
    it; None to tell it from the content.

    Raises InputError for a file that is no data, with what it is instead.
    """
    return detect_in(file, read_head(file, on_retry), format, encoding, dialect)


def detect_in(
    file: InputFile,
    first: Head,
    format: str = "auto",
    encoding: str = "utf-8",
    dialect: Dialect | None = None,
) -> Format:
    """As `detect`, of a file whose first bytes were read. Where these are damaged and say nothing of what
    the file is, the damage is what is told."""
    try:
        result = _detected(file, first, format, encoding, dialect)
    except InputError as fault:
        if first.damage is None:
            raise
        raise first.damage.fault(file) from fault
    return result


def _detected(file: InputFile, first: Head, format: str, encoding: str, dialect: Dialect | None) -> Format:
    head, whole, compression = first.data, first.whole, first.compression
    if head.startswith(b"PAR1") and format in ("auto", "parquet"):
        return Format("parquet", compression)
    if head.startswith(b"ARROW1") and format in ("auto", "arrow"):
        return Format("arrow", compression)
    if head.startswith(b"\xff\xff\xff\xff") and format in ("auto", "arrow"):
        return Format("arrow_stream", compression)
    if is_tar(head) and format in ("auto", "tar"):
        return Format("tar", compression)
    if format in ("parquet", "arrow", "tar"):
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
    head = _without_holes(file, head, result)
    if format == "jsonl":
        return replace(result, kind="jsonl")
    if format == "json":
        return replace(result, kind="json", layout=layout_of(head, whole, first.follows))
    if format == "auto":
        _refuse_binary(file, head, result)
        _refuse_odd(file, head)
        layout = layout_of(head, whole, first.follows)
        if layout is not None:
            return replace(result, kind="json", layout=layout)
    return _text_format(file, head, whole, format, result, dialect)


def read_head(file: InputFile, on_retry: OnRetry = ignore_retry) -> Head:
    """Raises InputError. A damaged container gives what can be read before the damage, and the damage."""
    parts: list[bytes] = []
    have = 0
    damage = None
    second = 0, b""
    with file.open(on_retry) as handle:
        begin = handle.read(8)
        compression = compression_of(begin) or compression_of_stub(file.path, begin)
        handle.seek(0)
        if compression is None:
            head = handle.read(HEAD_BYTES + 1)
            if len(head) > HEAD_BYTES and _begins_with_long_line(head):
                blocks = iter(lambda: handle.read(HEAD_BYTES), b"")
                return Head(head, False, None, None, *_second_line(len(head), blocks))
            return Head(head, len(head) <= HEAD_BYTES, None)
        try:
            blocks = decompressed(handle, compression, file)
            for block in blocks:
                parts.append(block)
                have += len(block)
                if have > HEAD_BYTES:
                    break
            head = b"".join(parts)
            if have > HEAD_BYTES and _begins_with_long_line(head[:HEAD_BYTES]):
                second = _second_line(HEAD_BYTES, itertools.chain([head[HEAD_BYTES:]], blocks))
        except Damaged as met:  # whoever reads on will meet it too, and say so
            damage = met
    head = b"".join(parts)
    return Head(head[:HEAD_BYTES], len(head) <= HEAD_BYTES and damage is None, compression, damage, *second)


def _begins_with_long_line(head: bytes) -> bool:
    """Whether an object begins that does not end with the line, so that others may follow it."""
    return head.removeprefix(UTF8_BOM).lstrip()[:1] == b"{" and b"\n" not in head and b"\0{" not in head


def _second_line(size: int, blocks: Iterator[bytes]) -> tuple[int, bytes]:
    """(bytes of the first line, bytes that follow it): nothing where it does not end soon. size: of what is
    before the blocks."""
    for block in blocks:
        end = block.find(b"\n")
        if end >= 0:
            return size + end + 1, block[end + 1 :] + next(blocks, b"")
        size += len(block)
        if size > MOST_FIRST_LINE:
            break
    return 0, b""


def _without_holes(file: InputFile, head: bytes, format: Format) -> bytes:
    """Text without the zeros of what was never written. Raises InputError where there is nothing else."""
    if format.encoding != "utf-8" or b"\0" not in head:
        return head
    if not head.strip(b"\0 \t\r\n"):
        raise InputError(
            f"{file.path}: holds zero bytes alone, as a file does whose writing was cut off; fetch it again"
        )
    return _HOLE.sub(b"", head)


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
        raise InputError(f"{file.path}: not JSON as it is: it is {why}")


def _text_format(
    file: InputFile, head: bytes, whole: bool, format: str, result: Format, planned: Dialect | None
) -> Format:
    lines = [line for line in head.split(b"\n", 4 * SAMPLE_RECORDS)[: 4 * SAMPLE_RECORDS] if line.strip()]
    if format == "auto":
        first = head.lstrip()[:1]
        if first == b"[" and not (is_json(lines[0]) and len(lines) > 1):
            return replace(result, kind="json")
        objects = _objects_among(lines)
        if objects * 2 >= len(lines) or first == b"[":
            return replace(result, kind="jsonl")
        if first == b"{":
            return replace(result, kind=_objects(file, lines, objects))
    dialect = _dialect(file, head, whole, format) if planned is None else at_its_begin(head, planned)
    if dialect is not None:
        return replace(result, kind="tsv" if dialect.delimiter == "\t" else "csv", dialect=dialect)
    if format == "auto" and any(line.startswith(b"{") and is_json(line) for line in lines):
        return replace(result, kind="jsonl")
    raise InputError(
        f"{file.path}: not a data file: neither JSON, nor a table with the same number of fields in each "
        "row; name it with data.format if it is one"
    )


def _objects_among(lines: list[bytes]) -> int:
    """How many lines are JSON objects; where they are half of all, no more are looked at."""
    objects = 0
    for line in lines:
        objects += line.startswith(b"{") and is_json(line)
        if objects * 2 >= len(lines):
            break
    return objects


def _objects(file: InputFile, lines: list[bytes], objects: int) -> Literal["jsonl"]:
    """A text that begins with a brace: lines, some of them bad, or one object spread over lines."""
    if len(lines) == 1 or objects or lines[0].rstrip().endswith(b"}"):
        return "jsonl"
    name = PurePosixPath(file.path).name
    several = lists_of_records(b"\n".join(lines))
    if len(several) > 1:
        raise InputError(
            f"{file.path}: one JSON object with records under {', '.join(map(repr, several))}: make a file "
            f"of each, as jq -c '.{several[0]}[]' {name} > {several[0]}.jsonl does"
        )
    raise InputError(
        f"{file.path}: one JSON object over several lines, not records; Forge reads an object a line or an "
        f"array of objects: jq -c . {name} > records.jsonl makes lines (or "
        "jq -c '.KEY[]' if the records are a list under a key)"
    )


def _dialect(file: InputFile, head: bytes, whole: bool, format: str) -> Dialect | None:
    """How the table is written; None where the text is none. One column is a table only if the user or the
    suffix says that the file is one."""
    named = format in ("csv", "tsv") or any(
        suffix in (".csv", ".tsv") for suffix in PurePosixPath(file.path.lower()).suffixes
    )
    return dialect_of(head, whole, named, "\t" if format == "tsv" else None)
