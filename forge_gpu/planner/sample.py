"""A few hundred records of each input, read as Python objects: what plan looks at. Never the whole file."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from forge_gpu.fates import Reason
from forge_gpu.io.delimited import names_of
from forge_gpu.io.dialects import Dialect, fields_of, split
from forge_gpu.io.formats import Format, Head, detect_in, read_head
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.json_cursor import JsonFault
from forge_gpu.io.json_layouts import records
from forge_gpu.io.samples import fault_of, write_lines
from forge_gpu.io.sources import MAX_ROW_BYTES, open_decoded
from forge_gpu.io.spool import Spool
from forge_gpu.io.streams import UTF8_BOM, Damaged, as_utf8, decoded_blocks
from forge_gpu.io.tar import TarFault
from forge_gpu.kernels.reference.delimited import GOOD
from forge_gpu.plain import mutable
from forge_gpu.records.values import spelled_json

PIECE = 2**16
PLACES = (0.25, 0.5, 0.75)  # where a long file is looked at again: its head need not be like the rest
MOST_FILES = 32
MOST_RECORDS = 200
MOST_BYTES = MAX_ROW_BYTES + 2**20
"""Of records that bring their media."""


def spread(files: list[InputFile]) -> list[InputFile]:
    """At most MOST_FILES, evenly over the list."""
    if len(files) <= MOST_FILES:
        return files
    return [files[i * (len(files) - 1) // (MOST_FILES - 1)] for i in range(MOST_FILES)]


@mutable
class Sample:
    """records: those that are objects. unreadable, others: rows looked at that were not JSON, or no object.
    lines: the rows as JSON lines, those of JSON lines as they are. amiss: why rows that have no line would be
    rejected.

    rows: of the whole file, None where it cannot be told; exact: whether it was counted. damage: what ended
    the bytes that were looked at. has_zeros: whether these have zero bytes in a text that has none.
    """

    file: InputFile
    format: Format
    records: list[dict[str, Any]] = field(default_factory=list)
    unreadable: int = 0
    others: int = 0
    rows: int | None = None
    exact: bool = False
    damage: Damaged | None = None
    lines: list[bytes] = field(default_factory=list)
    amiss: Counter[Reason] = field(default_factory=Counter)
    has_zeros: bool = False

    def add(self, value: Any, line: bytes | None = None) -> None:
        self.lines.append(spelled_json(value) if line is None else line)
        if isinstance(value, dict):
            self.records.append(value)
        else:
            self.others += 1

    def refuse(self, reason: Reason) -> None:
        self.unreadable += 1
        self.amiss[reason] += 1


def sample(
    file: InputFile, format: str = "auto", encoding: str = "utf-8", dialect: Dialect | None = None
) -> Sample:
    """Look at one input. dialect: of a table of text, where it is known. Raises InputError for a file that is
    no data."""
    head = read_head(file)
    result = Sample(file, detect_in(file, head, format, encoding, dialect), damage=head.damage)
    if result.format.kind == "empty":
        result.rows, result.exact = 0, head.damage is None
    elif result.format.kind == "tar":
        _read_samples(result)
    elif result.format.is_text:
        result.has_zeros = result.format.encoding == "utf-8" and b"\0" in head.data
        _read_text(result, head)
    else:
        _read_table(result)
    return result


def _read_text(result: Sample, first: Head) -> None:
    if result.format.layout is not None:
        _read_arranged(result)
        return
    if result.format.kind == "jsonl" and first.first_line:
        _read_after_long_line(result, first)
        return
    raw, whole = first.data, first.whole
    head = (
        raw if result.format.encoding == "utf-8" else b"".join(as_utf8(iter([raw]), result.format.encoding))
    )
    head = head.removeprefix(UTF8_BOM)
    if not whole:
        head = head[: head.rfind(b"\n") + 1] or head
    reader = {"jsonl": _lines, "json": _elements}.get(result.format.kind, _rows)
    places = list(itertools.islice(reader(result, head, whole), MOST_RECORDS))
    count, used = len(places), places[-1] if places else 0
    complete = whole and count < MOST_RECORDS
    if complete:
        result.rows, result.exact = count, True
    elif result.file.size is not None and result.format.compression is None and used:
        result.rows = round(count * result.file.size * (len(head) / len(raw)) / used)
    if result.format.kind == "jsonl" and not whole and _can_seek(result):
        _look_further(result)


def _read_samples(result: Sample) -> None:
    """The first records of an archive, up to so many bytes."""
    made = bytearray()
    ends: list[int] = []

    def take(piece: bytes) -> None:
        made.extend(piece)
        if piece.endswith(b"\n"):
            ends.append(len(made))
        if len(made) > MOST_BYTES or len(ends) == MOST_RECORDS:
            raise _Enough

    try:
        blocks = decoded_blocks(result.file, result.format.compression, None, False, [])
        write_lines(blocks, MAX_ROW_BYTES, take)
        result.rows, result.exact = len(ends), True
    except _Enough:
        if not ends:
            result.refuse(Reason.ROW_TOO_LONG)
    except TarFault as fault:
        raise fault_of(result.file, fault) from fault
    for begin, end in itertools.pairwise([0, *ends]):
        _add_line(result, bytes(made[begin:end]).rstrip(b"\n"))


class _Enough(Exception):
    """What is looked at is whole."""


def _read_arranged(result: Sample) -> None:
    """The first records of JSON of another layout, as the job finds them."""
    with TemporaryDirectory() as folder:
        store, begin = open_decoded(result.file, result.format, Spool(Path(folder) / "spool", 2**26))
        assert result.format.layout is not None
        try:
            for line in itertools.islice(
                records(store, result.format.layout, MAX_ROW_BYTES, begin), MOST_RECORDS
            ):
                _add_line(result, line)
        except JsonFault as fault:
            if not (fault.is_end and result.records):
                raise fault.of(result.file.path) from fault
        finally:
            store.close()


def _read_after_long_line(result: Sample, first: Head) -> None:
    """Lines of which the first alone is longer than what is looked at: it counts as one."""
    if first.first_line > MAX_ROW_BYTES:
        result.refuse(Reason.ROW_TOO_LONG)
    else:
        with TemporaryDirectory() as folder:
            store, begin = open_decoded(result.file, result.format, Spool(Path(folder) / "spool", 2**26))
            line = bytearray(first.first_line - begin)
            store.read_into(memoryview(line), begin)
            store.close()
        _add_line(result, bytes(line).rstrip())
    ends = first.follows.rfind(b"\n") + 1
    for _ in itertools.islice(_lines(result, first.follows[:ends] or first.follows, False), MOST_RECORDS):
        pass


def _lines(result: Sample, head: bytes, whole: bool) -> Iterator[int]:
    """Add the records of JSON lines; like the readers below, yields the bytes used so far after each row."""
    used = 0
    for line in head.split(b"\n"):
        used += len(line) + 1
        if line.strip(b"\0 \t\r"):
            _add_line(result, line)
            yield used


def _add_line(result: Sample, line: bytes) -> None:
    line = line.strip(b"\0").removeprefix(UTF8_BOM)  # as a job has them: see io/stray_marks.py
    try:
        result.add(orjson.loads(line), line)
    except orjson.JSONDecodeError:
        result.lines.append(line)
        result.unreadable += 1


def _elements(result: Sample, head: bytes, whole: bool) -> Iterator[int]:
    text = head.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    at = text.find("[") + 1
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text) or text[at] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            if whole:
                result.refuse(Reason.INVALID_JSON)
            return
        result.add(value)
        yield len(text[:at].encode())


def _rows(result: Sample, head: bytes, whole: bool) -> Iterator[int]:
    """Those of a table of text, as the job reads them."""
    dialect = result.format.dialect
    first = split(head[dialect.skip :], dialect, 0, whole, 1)
    if not len(first.status):
        return
    text = head[dialect.skip :]
    table = split(text, dialect, int(first.width[0]), whole, MOST_RECORDS + dialect.header)
    if dialect.header:
        names = names_of(result.file, fields_of(text, table, 0, dialect))
    else:
        names = [f"column_{number + 1}" for number in range(int(first.width[0]))]
    for row in range(int(dialect.header), len(table.status)):
        if table.status[row] != GOOD:
            result.refuse(Reason.WRONG_FIELD_COUNT)
        else:
            values = fields_of(text, table, row, dialect)
            try:
                result.add({name: value.decode() for name, value in zip(names, values, strict=True)})
            except UnicodeDecodeError:
                result.refuse(Reason.INVALID_UTF8)
        yield int(table.end[row]) + dialect.skip


def _can_seek(result: Sample) -> bool:
    return (
        not result.file.is_remote
        and not result.file.is_stream
        and result.format.compression is None
        and result.format.encoding == "utf-8"
    )


def _look_further(result: Sample) -> None:
    size = result.file.size or 0
    with result.file.open() as file:
        for place in PLACES:
            file.seek(int(size * place))
            lines = file.read(PIECE).split(b"\n")[1:-1]
            for line in lines[: MOST_RECORDS // 4]:
                if line.strip():
                    _add_line(result, line)


def _read_table(result: Sample) -> None:
    from forge_gpu.planner.tables import first_rows

    records, result.rows = first_rows(result.file, result.format, MOST_RECORDS)
    result.exact = result.rows is not None
    for record in records:
        if record is None:
            result.refuse(Reason.INVALID_UTF8)
        else:
            result.add(record)
