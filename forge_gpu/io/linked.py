"""Records that name the record before them, as messages of a forum do: made trees of, in the spool.

A tree is its first record with one member more, `replies`: the records that name it, in the order of the
file, each with its own. So all paths of a tree are one record, and stay in one split.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson

from forge_gpu.config.schema import LinkedRecords
from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.chunks import Chunk, Origin, Source
from forge_gpu.io.json_source import LinesSource
from forge_gpu.io.loss import Loss
from forge_gpu.io.spool import Spool, SpoolFile, never
from forge_gpu.io.stores import open_store

REPLIES = "replies"
_CHUNK_BYTES = 2**22
_CACHE_KIB = 16 * 2**10
"""Of the table of records, the memory it takes at most; the rest is on the disk."""


class Links(NamedTuple):
    """id: the key of a record's own name. parent: that of the one before it; the first has none."""

    id: str
    parent: str

    @classmethod
    def of(cls, section: LinkedRecords) -> Links | None:
        """Those of a plan; None where its records are not linked."""
        return None if section.id is None or section.parent is None else cls(section.id, section.parent)


def joined(
    origin: Origin, source: Source, links: Links, spool: Spool, check_stop: Callable[[], None] = never
) -> Source:
    """A source whose records are the trees of another's, which is closed. check_stop: is called between
    pieces of them, and raises to stop. Raises InputError, OutputError.

    A record whose parent is not in the file is a tree of its own, and so is each record of a circle; a row
    that cannot be read stays one, to be rejected.
    """

    def write(spooled: SpoolFile, losses: list[Loss]) -> None:
        losses.extend(source.losses)
        make_folder(spool.folder)
        with TemporaryDirectory(prefix="linked-", dir=spool.folder) as folder:
            try:
                for piece in trees(_rows(source, origin.max_row_bytes), links, Path(folder) / "records"):
                    spooled.write(piece)
            except sqlite3.Error as fault:
                raise OutputError(f"{spool.folder}: linking {source.file.path} failed: {fault}") from fault

    format = replace(source.format, kind="json")
    how = ("linked", *links, source.format, origin.max_row_bytes, origin.keep_prefix)
    spooled = spool.keep(source.file, how, write, check_stop)
    source.close()
    held = replace(origin, format=format).after(spooled.losses)
    return LinesSource(held, open_store(spooled.content, source.file.path))


def trees(rows: Iterable[bytes], links: Links, path: Path | None = None) -> Iterator[bytes]:
    """The lines of the trees of some rows, in pieces. path: where the table of them is; memory if None."""
    table = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
    try:
        table.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        table.execute("PRAGMA journal_mode = OFF")
        table.execute("PRAGMA synchronous = OFF")
        table.execute(
            "CREATE TABLE record (n INTEGER PRIMARY KEY, id TEXT, parent TEXT, good INTEGER, raw BLOB)"
        )
        table.execute("BEGIN")
        table.executemany(
            "INSERT INTO record (id, parent, good, raw) VALUES (?, ?, ?, ?)",
            (_linked(row, links) for row in rows),
        )
        table.execute("CREATE INDEX by_id ON record (id)")
        later = "EXISTS (SELECT 1 FROM record AS first WHERE first.id = record.id AND first.n < record.n)"
        table.execute(f"UPDATE record SET id = NULL WHERE {later}")
        table.execute("CREATE INDEX by_parent ON record (parent)")
        yield from _Trees(table).lines()
    finally:
        table.close()


def _rows(source: Source, max_row_bytes: int) -> Iterator[bytes]:
    for part in source.ranges:
        for chunk in source.read(part, _CHUNK_BYTES):
            yield from _records(chunk, max_row_bytes)


def _records(chunk: Chunk, max_row_bytes: int) -> Iterator[bytes]:
    """The rows of a chunk as JSON, those that cannot be read as they are."""
    if chunk.form == "table":
        for row in range(len(chunk)):
            bad = chunk.bad.get(row)
            yield chunk.source(row) if bad is None or bad.source is None else _as_text(bad.source)
        return
    from forge_gpu.kernels.cpu.scan import scan_records  # a plan does without the kernels

    records = scan_records(chunk.data, chunk.form, (), max_row_bytes)
    for begin, size in zip(records.start.tolist(), records.length.tolist(), strict=True):
        yield chunk.data[begin : begin + size].tobytes().strip()


def _as_text(source: bytes) -> bytes:
    return orjson.dumps(source.decode("utf-8", "replace"))


def _linked(row: bytes, links: Links) -> tuple[str | None, str | None, bool, bytes]:
    """Its name, that of the one before it, whether it is a record, and the row on one line."""
    try:
        record = orjson.loads(row)
    except orjson.JSONDecodeError:
        return None, None, False, row.replace(b"\n", b" ")
    if b"\n" in row or b"\r" in row:
        row = orjson.dumps(record)
    if not isinstance(record, dict):
        return None, None, False, row
    return _name(record.get(links.id)), _name(record.get(links.parent)), True, row


def _name(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()


class _Trees:
    """The trees of a table of records: a record stands below the first that has the name of its parent."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table
        self._count: int = table.execute("SELECT count(*) FROM record").fetchone()[0]
        self._done = bytearray(self._count + 1)

    def lines(self) -> Iterator[bytes]:
        first = "parent IS NULL OR parent NOT IN (SELECT id FROM record WHERE id IS NOT NULL)"
        for number, good in self._table.execute(f"SELECT n, good FROM record WHERE {first} ORDER BY n"):
            if good:
                yield from self._line(number)
            else:
                yield self._alone(number)
        for number in range(1, self._count + 1):  # a circle of records has no first
            if not self._done[number]:
                yield self._alone(number)

    def _alone(self, number: int) -> bytes:
        self._done[number] = True
        raw: bytes = self._table.execute("SELECT raw FROM record WHERE n = ?", (number,)).fetchone()[0]
        return raw + b"\n"

    def _line(self, root: int) -> Iterator[bytes]:
        """A tree on one line; without a call within a call, however deep it is."""
        head, replies = self._begin(root)
        yield head
        above = [replies]  # of each record that is open, the replies to come
        while above:
            place, reply = next(above[-1], (0, 0))
            if not reply:
                above.pop()
                yield b"]}" if above else b"]}\n"
                continue
            head, replies = self._begin(reply)
            yield b"," + head if place else head
            above.append(replies)

    def _begin(self, number: int) -> tuple[bytes, Iterator[tuple[int, int]]]:
        """A record up to its replies, and these: (place, number)."""
        self._done[number] = True
        id_, raw = self._table.execute("SELECT id, raw FROM record WHERE n = ?", (number,)).fetchone()
        body = raw[:-1].rstrip()
        comma = b"" if body == b"{" else b","
        replies = self._table.execute("SELECT n FROM record WHERE parent = ? ORDER BY n", (id_,)).fetchall()
        return body + comma + b'"' + REPLIES.encode() + b'":[', enumerate(reply for (reply,) in replies)
