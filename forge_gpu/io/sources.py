"""Opening an input: what it is, whether it has to be spooled, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from forge_gpu.io import urls
from forge_gpu.io.chunks import RANGE_BYTES, Origin, Source
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.io.formats import Format, detect
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.json_cursor import JsonFault
from forge_gpu.io.json_layouts import records
from forge_gpu.io.json_source import ArraySource, LinesSource
from forge_gpu.io.linked import Links, joined
from forge_gpu.io.loss import Loss
from forge_gpu.io.samples import fault_of, write_lines
from forge_gpu.io.spool import Spool, Spooled, SpoolFile, never
from forge_gpu.io.stores import ByteStore, MemoryStore, RemoteStore, open_store
from forge_gpu.io.streams import OnRead, ahead, decoded_blocks, ignore_read
from forge_gpu.io.tar import TarFault

if TYPE_CHECKING:
    from forge_gpu.io.kept import KeptRows
    from forge_gpu.io.tables import IpcSource

MAX_ROW_BYTES = 64 * 2**20
PLAIN_JSON = (".jsonl", ".ndjson", ".jsonlines", ".json")
_BATCH_BYTES = 2**20


def open_source(
    file: InputFile,
    format: Format | str = "auto",
    encoding: str = "utf-8",
    *,
    spool: Spool,
    on_corrupt: str = "stop",
    max_row_bytes: int = MAX_ROW_BYTES,
    range_bytes: int = RANGE_BYTES,
    hold: bool = False,
    by_parts: bool = False,
    on_retry: OnRetry = ignore_retry,
    dialect: Dialect | None = None,
    links: Links | None = None,
    kept: KeptRows | None = None,
    on_read: OnRead = ignore_read,
    check_stop: Callable[[], None] = never,
    read_ahead: bool = True,
) -> Source:
    """Open one input, spooling it first where it cannot be read twice or cut where it lies.

    hold: spool it in any case, so that a small input is read once and kept in the spool's memory. by_parts:
    read a remote file where it lies, if it can be, each part when it is needed: where several machines read
    it, a copy on one of them would be in their way. on_retry: is told where a remote file is asked for again.
    dialect: of tables of text; None to tell it from the content. links: by which its records are made trees.
    kept: see `Origin`. on_read: is told how far the file is read, where it is spooled. check_stop: is called
    between blocks of what is spooled, and raises to stop. read_ahead: have a thread decompress blocks while
    those before them are written.

    For any thread, with a spool that others use too. Raises InputError (with the offset where a file is
    damaged, unless on_corrupt is "keep_prefix"), OutputError where the spool has no room.
    """
    if file.is_stream:
        file = spool.capture(file, check_stop)
    result = format if isinstance(format, Format) else detect(file, format, encoding, on_retry, dialect)
    origin = Origin(file, result, range_bytes, max_row_bytes, on_corrupt == "keep_prefix", kept=kept)
    if result.kind == "empty" and result.compression is None:
        return LinesSource(origin, MemoryStore(b""))
    if by_parts and links is None and file.size is not None and has_parts(file, result):
        return LinesSource(origin, RemoteStore(file.url, file.size), result.mark)
    in_place = is_in_place(file, result) and not (hold and links is None)
    source = _Opening(origin, spool, on_retry, on_read, check_stop, read_ahead).open(in_place)
    return source if links is None else joined(origin, source, links, spool, check_stop)


def open_decoded(file: InputFile, format: Format, spool: Spool) -> tuple[ByteStore, int]:
    """The decoded bytes of a text, and where it begins in them. Raises InputError."""
    opening = _Opening(Origin(file, format, RANGE_BYTES, MAX_ROW_BYTES), spool)
    in_place = is_in_place(file, format)
    content = Path(file.url) if in_place else opening.decoded().content
    return open_store(content, file.path), format.mark if in_place else 0


def is_quick(file: InputFile, encoding: str, links: Links | None) -> bool:
    """Whether opening a file takes no more than a look at it, by its name: it is that of plain JSON here."""
    is_elsewhere = file.is_remote or file.is_stream
    return not is_elsewhere and encoding == "utf-8" and links is None and file.url.endswith(PLAIN_JSON)


def is_in_place(file: InputFile, format: Format) -> bool:
    """Whether a file can be read where it lies, at any place, as it is."""
    return (
        format.kind != "tar"
        and format.compression is None
        and not file.is_remote
        and (format.encoding == "utf-8" or not format.is_text)
    )


def has_parts(file: InputFile, format: Format) -> bool:
    """Whether a file is remote, and can be cut where it lies: plain lines, on a store that gives parts."""
    in_parts = file.is_remote and urls.protocol(file.url) not in ("http", "https")
    return in_parts and format.kind == "jsonl" and format.compression is None and format.encoding == "utf-8"


class _Opening:
    """One input being opened, with what the job says of it."""

    def __init__(
        self,
        origin: Origin,
        spool: Spool,
        on_retry: OnRetry = ignore_retry,
        on_read: OnRead = ignore_read,
        check_stop: Callable[[], None] = never,
        read_ahead: bool = True,
    ) -> None:
        self.origin = origin
        self.file = origin.file
        self.format = origin.format
        self.spool = spool
        self.on_retry, self.on_read, self.check_stop = on_retry, on_read, check_stop
        self.read_ahead = read_ahead

    def open(self, in_place: bool) -> Source:
        if self.format.kind in ("csv", "tsv"):
            return self._delimited()
        if self.format.kind == "tar":
            return self._samples()
        content = Spooled(Path(self.file.url)) if in_place else self.decoded()
        origin = self.origin.after(content.losses)
        if self.format.kind == "parquet":
            return self._parquet(origin, content)
        if self.format.kind in ("arrow", "arrow_stream"):
            return self._arrow(origin, content)
        if self.format.layout is not None:
            content = self._as_lines(content, in_place)
            return LinesSource(self.origin.after(content.losses), open_store(content.content, self.file.path))
        store = open_store(content.content, self.file.path)
        kind = ArraySource if self.format.kind == "json" else LinesSource  # nothing, decoded, has no lines
        return kind(origin, store, self.format.mark if in_place else 0)

    def _blocks(self, encoding: str | None, losses: list[Loss]) -> Iterator[bytes]:
        keep_prefix = self.origin.keep_prefix
        compression = self.format.compression
        blocks = decoded_blocks(
            self.file, compression, encoding, keep_prefix, losses, self.on_retry, self.on_read
        )
        return ahead(blocks) if compression is not None and self.read_ahead else blocks

    def decoded(self) -> Spooled:
        """The file's decoded bytes, spooled."""
        encoding = self.format.encoding if self.format.is_text else None

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            for block in self._blocks(encoding, losses):
                spooled.write(block)

        how = ("bytes", self.format.compression, encoding, self.origin.keep_prefix)
        return self.spool.keep(self.file, how, write, self.check_stop)

    def _as_lines(self, content: Spooled, in_place: bool) -> Spooled:
        """The records of JSON of another layout, one a line."""
        layout, limit = self.format.layout, self.origin.max_row_bytes
        assert layout is not None
        mark = self.format.mark if in_place else 0

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            losses.extend(content.losses)
            store = open_store(content.content, self.file.path)
            try:
                for record in records(store, layout, limit, mark):
                    spooled.write(record + b"\n")
            except JsonFault as fault:
                if not (fault.is_end and self.origin.keep_prefix):
                    raise fault.of(self.file.path) from fault
                losses.append(Loss(fault.what, fault.offset))
            finally:
                store.close()

        how = ("lines", layout, self.format.compression, self.format.encoding, limit, self.origin.keep_prefix)
        return self.spool.keep(self.file, how, write, self.check_stop)

    def _samples(self) -> LinesSource:
        limit = self.origin.max_row_bytes

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            try:
                write_lines(self._blocks(None, losses), limit, spooled.write)
            except TarFault as fault:
                if not (fault.is_end and self.origin.keep_prefix):
                    raise fault_of(self.file, fault) from fault
                losses.append(Loss(fault.what, fault.offset))

        how = ("samples", self.format.compression, limit, self.origin.keep_prefix)
        content = self.spool.keep(self.file, how, write, self.check_stop)
        return LinesSource(self.origin.after(content.losses), open_store(content.content, self.file.path))

    def _delimited(self) -> IpcSource:
        from forge_gpu.io import delimited, ipc

        dialect = self.format.dialect
        largest = delimited.largest_block(self.origin.max_row_bytes)

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            blocks = self._blocks(self.format.encoding, losses)
            keep_prefix = self.origin.keep_prefix
            fields = delimited.read_fields(self.file, blocks, dialect, largest, keep_prefix, losses)
            ipc.write_fields(spooled, fields.names, fields.blocks)

        how = (self.format.compression, self.format.encoding, dialect, largest)
        return self._rewritten(("fields", *how), write)

    def _parquet(self, origin: Origin, content: Spooled) -> Source:
        from forge_gpu.io import ipc, tables

        source = tables.ParquetSource(origin, content.content)
        if not source.has_large_group(origin.range_bytes):
            return source

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            losses.extend(source.losses)
            chunks = (chunk for part in source.ranges for chunk in source.read(part, _BATCH_BYTES))
            rows = (piece for chunk in chunks for piece in ipc.plain(chunk.batch, _BATCH_BYTES))
            ipc.write(spooled, rows, origin.range_bytes)

        return self._rewritten(("groups",), write)

    def _arrow(self, origin: Origin, content: Spooled) -> IpcSource:
        from forge_gpu.io import ipc, tables

        losses: list[Loss] = []
        opener = ipc.open_file if self.format.kind == "arrow" else ipc.open_stream
        opened = opener(self.file, content.content, origin.keep_prefix, losses)
        origin = origin.after(losses)
        if not opened.needs_order and opened.largest <= tables.LARGE_GROUP * origin.range_bytes:
            return tables.IpcSource(origin, opened)

        def write(spooled: SpoolFile, lost: list[Loss]) -> None:
            lost.extend(origin.losses)
            batches = ipc.in_order(self.file, opened, origin.keep_prefix, lost, _BATCH_BYTES)
            ipc.write(spooled, batches, origin.range_bytes, ipc.plain_schema(opened.schema))

        return self._rewritten(("batches",), write)

    def _rewritten(
        self, how: tuple[object, ...], write: Callable[[SpoolFile, list[Loss]], None]
    ) -> IpcSource:
        """A table that is spooled as an IPC file, which can be cut at any row."""
        from forge_gpu.io import ipc, tables

        how = (*how, self.origin.keep_prefix, self.origin.range_bytes)
        spooled = self.spool.keep(self.file, how, write, self.check_stop)
        return tables.IpcSource(self.origin.after(spooled.losses), ipc.open_own(spooled.content))
