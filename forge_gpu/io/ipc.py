"""Arrow IPC: reading files and streams at any batch, and writing batches to a spool."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forge_gpu.errors import InputError
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss

if TYPE_CHECKING:
    import pyarrow as pa

_FILE_START = 8  # bytes of the magic before the stream that an IPC file holds


@dataclass(frozen=True, slots=True)
class Batches:
    """The record batches of an IPC file or stream.

    starts: the first row of each batch, and the number of rows at the end. size: bytes of all, decoded.
    largest: bytes of the largest batch that has to be decompressed as a whole; 0 if none has.
    needs_order: dictionaries come between the batches, so that they can only be read from the start.
    """

    schema: pa.Schema
    reader: _Reader
    starts: list[int]
    size: int
    largest: int
    needs_order: bool = False


class _Reader:
    """Gives batch i, to any thread, from one mapping of the file."""

    def __init__(self, data: pa.Buffer) -> None:
        self.data = data

    def __call__(self, i: int) -> pa.RecordBatch:
        raise IndexError(i)


class _FileReader(_Reader):
    def __init__(self, data: pa.Buffer) -> None:
        super().__init__(data)
        self._local = threading.local()

    def __call__(self, i: int) -> pa.RecordBatch:
        return self.open().get_batch(i)

    def open(self) -> Any:
        import pyarrow as pa

        if not hasattr(self._local, "reader"):
            self._local.reader = pa.ipc.open_file(pa.BufferReader(self.data))
        return self._local.reader


class _StreamReader(_Reader):
    def __init__(self, data: pa.Buffer, schema: pa.Schema, offsets: list[int]) -> None:
        super().__init__(data)
        self._schema = schema
        self._offsets = offsets

    def __call__(self, i: int) -> pa.RecordBatch:
        import pyarrow as pa

        message = pa.ipc.read_message(pa.BufferReader(self.data.slice(self._offsets[i])))
        return pa.ipc.read_record_batch(message, self._schema)


def open_file(file: InputFile, content: Path | bytes, keep_prefix: bool, losses: list[Loss]) -> Batches:
    """An IPC file. Without its footer it is read as the stream that it holds, if keep_prefix allows.

    Raises InputError.
    """
    import pyarrow as pa

    reader = _FileReader(_mapped(file, content))
    try:
        opened = reader.open()
    except (pa.ArrowException, OSError) as fault:
        if not keep_prefix:
            raise _damage(file, "the Arrow file has no whole footer", fault) from fault
        losses.append(Loss("the Arrow file has no whole footer"))
        return open_stream(file, content, keep_prefix, losses, _FILE_START)
    return _measured(file, opened.schema, reader, opened.num_record_batches, keep_prefix, losses)


def open_stream(
    file: InputFile, content: Path | bytes, keep_prefix: bool, losses: list[Loss], begin: int = 0
) -> Batches:
    """An IPC stream, which has no index: its messages are walked through once. Raises InputError."""
    import pyarrow as pa

    data = _mapped(file, content)
    source = pa.BufferReader(data)
    source.seek(begin)
    offsets: list[int] = []
    schema, needs_order, at = None, False, begin
    try:
        schema = pa.ipc.read_schema(source)
        while True:
            at = source.tell()
            message = pa.ipc.read_message(source)
            if message is None:
                break
            if message.type == "record batch":
                offsets.append(at)
            needs_order = needs_order or message.type == "dictionary"
    except EOFError:
        pass
    except (pa.ArrowException, OSError) as fault:
        if schema is None or not keep_prefix:
            raise _damage(file, f"the Arrow stream is damaged at byte {at}", fault) from fault
        losses.append(Loss("the Arrow stream is damaged", at))
    if needs_order:
        return Batches(schema, _Reader(data.slice(begin)), [0], data.size, 0, needs_order=True)
    return _measured(file, schema, _StreamReader(data, schema, offsets), len(offsets), keep_prefix, losses)


def in_order(
    file: InputFile, found: Batches, keep_prefix: bool, losses: list[Loss]
) -> Iterator[pa.RecordBatch]:
    """All batches from the first to the last, dictionaries resolved, for a copy that can be cut."""
    import pyarrow as pa

    if not found.needs_order:
        for i in range(len(found.starts) - 1):
            yield plain(found.reader(i))
        return
    try:
        for batch in pa.ipc.open_stream(pa.BufferReader(found.reader.data)):
            yield plain(batch)
    except (pa.ArrowException, OSError) as fault:
        if not keep_prefix:
            raise _damage(file, "the Arrow stream is damaged", fault) from fault
        losses.append(Loss("the Arrow stream is damaged"))


def write(
    sink: Any, batches: Iterable[pa.RecordBatch], piece_bytes: int, schema: pa.Schema | None = None
) -> None:
    """Write batches as an IPC file, uncompressed, in pieces of about piece_bytes.

    sink: a file to write to. schema: that of the batches; if None there is at least one, and its is taken.
    """
    import pyarrow as pa

    batches = iter(batches)
    if schema is None:
        first = next(batches)
        schema, batches = first.schema, chain([first], batches)
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), schema) as writer:
        for batch in batches:
            _write_pieces(writer, batch, piece_bytes)


def _write_pieces(writer: Any, batch: pa.RecordBatch, piece_bytes: int) -> None:
    rows = max(1, len(batch) * piece_bytes // max(batch.nbytes, 1))
    for at in range(0, max(len(batch), 1), rows):
        writer.write_batch(batch.slice(at, rows))


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch without dictionaries at the top: an IPC file can hold only one dictionary a column."""
    import pyarrow as pa

    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of what `plain` gives."""
    import pyarrow as pa

    return pa.schema(
        [
            (field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
            for field in schema
        ]
    )


def _measured(
    file: InputFile, schema: pa.Schema, reader: _Reader, count: int, keep_prefix: bool, losses: list[Loss]
) -> Batches:
    import pyarrow as pa

    starts, size, largest = [0], 0, 0
    for i in range(count):
        try:
            batch = reader(i)
            batch.validate()
        except (pa.ArrowException, OSError) as fault:
            if not keep_prefix:
                raise _damage(file, f"record batch {i} is damaged", fault) from fault
            losses.append(Loss(f"record batch {i} of {count} is damaged"))
            break
        starts.append(starts[-1] + len(batch))
        size += batch.nbytes
        if _is_decompressed(batch, reader.data):
            largest = max(largest, batch.nbytes)
    return Batches(schema, reader, starts, size, largest)


def _is_decompressed(batch: pa.RecordBatch, data: pa.Buffer) -> bool:
    """Whether a buffer of the batch lies outside the file's own bytes."""
    buffers = (
        buffer
        for column in batch.columns
        for buffer in column.buffers()
        if buffer is not None and buffer.size
    )
    return any(not data.address <= buffer.address < data.address + data.size for buffer in buffers)


def _mapped(file: InputFile, content: Path | bytes) -> pa.Buffer:
    import pyarrow as pa

    if isinstance(content, bytes):
        return pa.py_buffer(content)
    try:
        return pa.memory_map(str(content)).read_buffer()
    except OSError as fault:
        raise InputError(f"{file.path}: cannot be read: {fault.strerror or fault}") from fault


def _damage(file: InputFile, what: str, fault: Exception) -> InputError:
    reason = " ".join(str(fault).split())[:200]
    return InputError(
        f"{file.path}: {what} ({reason}); write the file anew, or keep what comes before with "
        "data.on_corrupt: keep_prefix"
    )
