"""Opening an input: what it is, whether it has to be spooled, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forge_gpu.io.chunks import RANGE_BYTES, Loss, Source
from forge_gpu.io.formats import Format, detect
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.json_source import ArraySource, LinesSource
from forge_gpu.io.spool import Spool, Spooled, SpoolFile
from forge_gpu.io.stores import MemoryStore, open_store
from forge_gpu.io.streams import decoded_blocks

if TYPE_CHECKING:
    from forge_gpu.io.ipc import Batches
    from forge_gpu.io.tables import IpcSource

MAX_ROW_BYTES = 64 * 2**20
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
) -> Source:
    """Open one input, spooling it first where it cannot be read twice or cut where it lies.

    hold: spool it in any case, so that a small input is read once and kept in the spool's memory.

    Raises InputError (with the offset where a file is damaged, unless on_corrupt is "keep_prefix"),
    OutputError where the spool has no room.
    """
    return _Opening(file, spool, on_corrupt == "keep_prefix", max_row_bytes, range_bytes, hold).open(
        format, encoding
    )


def is_in_place(file: InputFile, format: Format) -> bool:
    """Whether a file can be read where it lies, at any place, as it is."""
    return (
        format.compression is None
        and not file.is_remote
        and (format.encoding == "utf-8" or not format.is_text)
    )


class _Opening:
    """One input being opened, with what the job says of it."""

    def __init__(
        self,
        file: InputFile,
        spool: Spool,
        keep_prefix: bool,
        max_row_bytes: int,
        range_bytes: int,
        hold: bool,
    ) -> None:
        self.file = spool.capture(file) if file.is_stream else file
        self.spool = spool
        self.keep_prefix = keep_prefix
        self.max_row_bytes = max_row_bytes
        self.range_bytes = range_bytes
        self.hold = hold

    def open(self, format: Format | str, encoding: str) -> Source:
        found = format if isinstance(format, Format) else detect(self.file, format, encoding)
        if found.kind == "empty":
            return LinesSource(self.file, found, MemoryStore(b""), 0, self.range_bytes, self.max_row_bytes)
        if found.kind in ("csv", "tsv"):
            return self._delimited(found)
        in_place = is_in_place(self.file, found) and not self.hold
        content = Spooled(Path(self.file.url)) if in_place else self._decoded(found)
        if found.kind == "parquet":
            return self._parquet(found, content)
        if found.kind in ("arrow", "arrow_stream"):
            return self._arrow(found, content)
        store = open_store(content.content, self.file.path)
        begin = found.mark if in_place else 0
        if found.kind == "jsonl":
            return LinesSource(
                self.file, found, store, begin, self.range_bytes, self.max_row_bytes, content.losses
            )
        return ArraySource(
            self.file,
            found,
            store,
            begin,
            self.range_bytes,
            self.max_row_bytes,
            self.keep_prefix,
            content.losses,
        )

    def _decoded(self, found: Format) -> Spooled:
        """The file's decoded bytes, spooled."""
        encoding = found.encoding if found.is_text else None

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            for block in decoded_blocks(self.file, found.compression, encoding, self.keep_prefix, losses):
                spooled.write(block)

        return self.spool.keep(self.file, ("bytes", found.compression, encoding, self.keep_prefix), write)

    def _delimited(self, found: Format) -> IpcSource:
        from forge_gpu.io import delimited, ipc

        largest = delimited.largest_block(self.max_row_bytes)

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            block_bytes = delimited.BLOCK_BYTES
            while True:
                blocks = decoded_blocks(
                    self.file, found.compression, found.encoding, self.keep_prefix, losses
                )
                rows = delimited.batches(
                    self.file, blocks, found.delimiter, block_bytes, self.keep_prefix, losses
                )
                try:
                    ipc.write(spooled, rows, self.range_bytes)
                    return
                except delimited.RowTooLarge as fault:
                    if block_bytes >= largest:
                        raise delimited.too_large(self.file, largest) from fault
                losses.clear()
                spooled.restart()
                block_bytes = min(4 * block_bytes, largest)

        how = (found.compression, found.encoding, found.delimiter, largest)
        return self._rewritten(found, ("table", *how), write)

    def _parquet(self, found: Format, content: Spooled) -> Source:
        from forge_gpu.io import ipc, tables

        source = tables.ParquetSource(
            self.file,
            found,
            content.content,
            self.range_bytes,
            self.max_row_bytes,
            self.keep_prefix,
            content.losses,
        )
        if not source.has_large_group(self.range_bytes):
            return source

        def write(spooled: SpoolFile, losses: list[Loss]) -> None:
            losses.extend(source.losses)
            chunks = (chunk for part in source.ranges for chunk in source.read(part, _BATCH_BYTES))
            ipc.write(spooled, (ipc.plain(chunk.batch) for chunk in chunks), self.range_bytes)

        return self._rewritten(found, ("groups",), write)

    def _arrow(self, found: Format, content: Spooled) -> IpcSource:
        from forge_gpu.io import ipc, tables

        losses = list(content.losses)
        opener = ipc.open_file if found.kind == "arrow" else ipc.open_stream
        opened = opener(self.file, content.content, self.keep_prefix, losses)
        if not opened.needs_order and opened.largest <= tables.LARGE_GROUP * self.range_bytes:
            return self._ipc(found, opened, losses)

        def write(spooled: SpoolFile, lost: list[Loss]) -> None:
            lost.extend(losses)
            batches = ipc.in_order(self.file, opened, self.keep_prefix, lost)
            ipc.write(spooled, batches, self.range_bytes, ipc.plain_schema(opened.schema))

        return self._rewritten(found, ("batches",), write)

    def _rewritten(
        self, found: Format, how: tuple[object, ...], write: Callable[[SpoolFile, list[Loss]], None]
    ) -> IpcSource:
        """A table that is spooled as an IPC file, which can be cut at any row."""
        from forge_gpu.io import ipc

        spooled = self.spool.keep(self.file, (*how, self.keep_prefix, self.range_bytes), write)
        return self._ipc(found, ipc.open_file(self.file, spooled.content, False, []), spooled.losses)

    def _ipc(self, found: Format, opened: Batches, losses: Sequence[Loss]) -> IpcSource:
        from forge_gpu.io import tables

        return tables.IpcSource(
            self.file,
            found,
            opened.schema,
            opened.reader,
            opened.starts,
            opened.size,
            self.range_bytes,
            self.max_row_bytes,
            losses,
        )
