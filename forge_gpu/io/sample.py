"""The first rows of an input, for looking at it without reading or spooling all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from forge_gpu.io.chunks import RANGE_BYTES, Chunk, JsonChunk, Source
from forge_gpu.io.formats import Format, decoded_head
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.json_source import ArraySource, LinesSource
from forge_gpu.io.sources import MAX_ROW_BYTES, is_in_place
from forge_gpu.io.stores import MemoryStore
from forge_gpu.io.streams import UTF8_BOM, as_utf8, decoded_blocks

if TYPE_CHECKING:
    import pyarrow as pa

    from forge_gpu.io.tables import IpcSource

SAMPLE_BYTES = 4 * 2**20


def sample(file: InputFile, format: Format, max_bytes: int = SAMPLE_BYTES) -> Iterator[Chunk]:
    """The first rows of an input, about max_bytes of them, in chunks as a Source gives them.

    Only a compressed or remote Parquet or Arrow file has to be decoded as a whole, to a temporary file.
    Raises InputError.
    """
    with ExitStack() as stack:
        source = _source(file, format, max_bytes, stack)
        left = max_bytes
        for part in source.ranges:
            for chunk in source.read(part, min(max(left, 1), 2**20)):
                yield chunk
                left -= len(chunk.data) if isinstance(chunk, JsonChunk) else chunk.batch.nbytes
                if left <= 0:
                    return


def _source(file: InputFile, format: Format, max_bytes: int, stack: ExitStack) -> Source:
    if format.kind in ("parquet", "arrow", "arrow_stream"):
        return _table(file, format, max_bytes, stack)
    head, whole = _head(file, format, max_bytes)
    if format.kind in ("csv", "tsv"):
        return _delimited(file, format, head)
    if format.kind == "json":
        return ArraySource(
            file, format, MemoryStore(head), 0, RANGE_BYTES, MAX_ROW_BYTES, keep_prefix=not whole
        )
    return LinesSource(file, format, MemoryStore(head), 0, RANGE_BYTES, MAX_ROW_BYTES)


def _head(file: InputFile, format: Format, size: int) -> tuple[bytes, bool]:
    """The first bytes as UTF-8, as many as hold a whole record, cut after a line; whether they are all."""
    while True:
        raw, whole, _ = decoded_head(file, size)
        text = b"".join(as_utf8(iter([raw]), format.encoding)).removeprefix(UTF8_BOM)
        if whole or format.kind == "json":
            return text, whole
        cut = text.rfind(b"\n") + 1
        if cut or size > MAX_ROW_BYTES:
            return text[:cut], False
        size *= 4


def _delimited(file: InputFile, format: Format, head: bytes) -> IpcSource:
    from forge_gpu.io import delimited

    batches = delimited.batches(
        file, iter([head]), format.delimiter, max(len(head) + 2, delimited.BLOCK_BYTES), keep_prefix=True
    )
    return _listed(file, format, list(batches))


def _table(file: InputFile, format: Format, max_bytes: int, stack: ExitStack) -> Source:
    from forge_gpu.io import ipc, tables

    path = Path(file.url)
    if not is_in_place(file, format):
        path = Path(stack.enter_context(TemporaryDirectory(prefix="forge-sample-"))) / "decoded"
        with open(path, "wb") as whole:
            for block in decoded_blocks(file, format.compression, None, False, []):
                whole.write(block)
    if format.kind == "parquet":
        return tables.ParquetSource(file, format, path, RANGE_BYTES, MAX_ROW_BYTES)
    opener = ipc.open_file if format.kind == "arrow" else ipc.open_stream
    opened = opener(file, path, True, [])
    batches = ipc.in_order(file, opened, True, [])
    first = next(batches, None)
    if first is None:
        return _listed(file, format, [ipc.plain_schema(opened.schema).empty_table().to_batches()[0]])
    kept, left = [], max_bytes
    for batch in chain([first], batches):
        kept.append(batch)
        left -= batch.nbytes
        if left <= 0:
            break
    return _listed(file, format, kept)


def _listed(file: InputFile, format: Format, batches: list[pa.RecordBatch]) -> IpcSource:
    """A source of batches that are in memory."""
    from forge_gpu.io import tables

    starts = [0]
    for batch in batches:
        starts.append(starts[-1] + len(batch))
    size = sum(batch.nbytes for batch in batches)
    return tables.IpcSource(
        file, format, batches[0].schema, batches.__getitem__, starts, size, RANGE_BYTES, MAX_ROW_BYTES
    )
