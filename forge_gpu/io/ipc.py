"""Arrow IPC: reading files and streams at any row, and writing batches to a spool.

A file from outside is not relied on: what it says of its batches is taken once, when it is opened; their rows
are read into memory of their own and checked there. A spooled file is the job's own, and is mapped.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from forge_gpu.errors import InputError
from forge_gpu.io.arrow_rows import RowsOfArrays, can_be_cut
from forge_gpu.io.checked import FAULTS, check
from forge_gpu.io.faults import one_line
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss
from forge_gpu.io.open_file import OpenFile
from forge_gpu.io.weights import pieces
from forge_gpu.plain import frozen

_FIELDS = b"forge: columns of the fields"
"""What of a schema says that its one column holds those of all, and their names."""

_FILE_START = 8  # bytes of the magic before the stream that an IPC file holds


@frozen
class Batches:
    """The record batches of an IPC file or stream.

    starts: the first row of each batch, and the number of rows at the end. size: bytes of all, decoded.
    largest: bytes of the largest batch that can only be read as a whole; 0 if none is.
    needs_order: dictionaries come between the batches, so that they can only be read from the start.
    """

    schema: pa.Schema
    reader: _Reader
    starts: list[int]
    size: int
    largest: int
    needs_order: bool = False


class _Reader:
    """Gives rows of batch i, to any thread."""

    def rows(self, i: int, begin: int, count: int, columns: Sequence[str]) -> pa.RecordBatch:
        """Some rows of a batch in some of its columns. Raises pyarrow's errors, OSError and InputError."""
        raise IndexError(i)

    def require_unchanged(self) -> None:
        """Raise InputError where the file is not what it was."""

    def close(self) -> None:
        pass


class _OwnReader(_Reader):
    """Of a file that was spooled: mapped, or in memory."""

    def __init__(self, data: pa.Buffer) -> None:
        self._data = data
        self._local = threading.local()

    def open(self) -> Any:
        if not hasattr(self._local, "reader"):
            self._local.reader = pa.ipc.open_file(pa.BufferReader(self._data))
        return self._local.reader

    def rows(self, i: int, begin: int, count: int, columns: Sequence[str]) -> pa.RecordBatch:
        batch: pa.RecordBatch = self.open().get_batch(i).select(list(columns))
        return batch.slice(begin, count)


class _FieldsReader(_OwnReader):
    """Of a file that `write_fields` made: only columns that are asked for cost anything."""

    def __init__(self, data: pa.Buffer, names: Sequence[str]) -> None:
        super().__init__(data)
        self._place = {name: place for place, name in enumerate(names)}

    def rows(self, i: int, begin: int, count: int, columns: Sequence[str]) -> pa.RecordBatch:
        fields = self.open().get_batch(i).column(0)
        rows = len(fields) // len(self._place)
        arrays = [fields.slice(self._place[name] * rows + begin, count) for name in columns]
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))


class _Content:
    """The bytes of a file from outside: mapped, so that pyarrow can find its way through what it says of its
    batches, and read into private memory where values are looked at."""

    def __init__(self, file: InputFile, content: Path | bytes) -> None:
        self._file: OpenFile | None = None
        if isinstance(content, bytes):
            self.mapped = pa.py_buffer(content)
            return
        self._file = OpenFile(content, file.path)
        try:
            self.mapped = pa.memory_map(str(content)).read_buffer() if self._file.size else pa.py_buffer(b"")
        except OSError as fault:
            raise InputError(f"{file.path}: cannot be read: {fault.strerror or fault}") from fault
        self.require_unchanged()

    def require_unchanged(self) -> None:
        if self._file is not None:
            self._file.require_unchanged()

    def at(self, offset: int, size: int) -> pa.Buffer:
        """Bytes of the file, which nobody changes."""
        if self._file is None:
            return self.mapped.slice(offset, size)
        return pa.py_buffer(self._file.read(offset, size))

    def holds(self, buffer: pa.Buffer) -> bool:
        """Whether a buffer lies in the file's own bytes."""
        begin = buffer.address - self.mapped.address
        return bool(begin >= 0 and begin + buffer.size <= self.mapped.size)

    def part(self, buffer: pa.Buffer, begin: int, size: int) -> pa.Buffer:
        """Bytes of a buffer, which nobody changes."""
        if not self.holds(buffer):
            return buffer.slice(begin, size)
        return self.at(buffer.address - self.mapped.address + begin, size)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _ForeignReader(_Reader):
    """Of a file from outside. batches: what it says of each; None of one that can only be read as a whole,
    from the bytes of its message."""

    def __init__(
        self,
        content: _Content,
        schema: pa.Schema,
        batches: list[pa.RecordBatch | None],
        whole: _Whole,
    ) -> None:
        self._content, self._schema, self._batches, self._whole = content, schema, batches, whole
        self._cut = RowsOfArrays(content.part)

    def rows(self, i: int, begin: int, count: int, columns: Sequence[str]) -> pa.RecordBatch:
        batch = self._batches[i]
        if batch is None:
            whole = self._whole(i).select(list(columns))
            check(whole)
            return whole.slice(begin, count)
        places = [self._schema.get_field_index(name) for name in columns]
        arrays = [self._cut.rows(batch.column(place), begin, count) for place in places]
        if not arrays:
            return batch.slice(begin, count).select([])
        rows = pa.RecordBatch.from_arrays(arrays, names=list(columns))
        check(rows)
        return rows

    def require_unchanged(self) -> None:
        self._content.require_unchanged()

    def close(self) -> None:
        self._content.close()


class _Whole:
    """Reads a batch as a whole, checked by whoever asks; with a reader a thread."""

    def __init__(
        self, content: _Content, source: Any, schema: pa.Schema, places: list[tuple[int, int]]
    ) -> None:
        """source: of an IPC file, which pyarrow reads at any place; None of a stream. places: of a stream,
        where the message of each batch begins and ends."""
        self._content, self._source, self._schema, self._places = content, source, schema, places
        self._local = threading.local()

    def __call__(self, i: int) -> pa.RecordBatch:
        if self._source is None:
            begin, end = self._places[i]
            message = pa.ipc.read_message(pa.BufferReader(self._content.at(begin, end - begin)))
            return pa.ipc.read_record_batch(message, self._schema)
        if not hasattr(self._local, "reader"):
            self._local.reader = pa.ipc.open_file(self._source)
        return self._local.reader.get_batch(i)


def open_own(content: Path | bytes) -> Batches:
    """A file that `write` or `write_fields` made, whole, for this job alone."""
    data = pa.py_buffer(content) if isinstance(content, bytes) else pa.memory_map(str(content)).read_buffer()
    reader = _OwnReader(data)
    opened = reader.open()
    schema, width = opened.schema, 1
    if schema.metadata is not None and _FIELDS in schema.metadata:
        names = orjson.loads(schema.metadata[_FIELDS])
        reader, width = _FieldsReader(data, names), len(names)
        schema = pa.schema([(name, pa.large_binary()) for name in names])
    starts, size = [0], 0
    for i in range(opened.num_record_batches):
        batch = opened.get_batch(i)
        starts.append(starts[-1] + len(batch) // width)
        size += batch.nbytes
    return Batches(schema, reader, starts, size, 0)


def open_file(
    file: InputFile, content: Path | bytes, keep_prefix: bool, losses: list[Loss], most: int | None = None
) -> Batches:
    """An IPC file. Without its footer it is read as the stream that it holds, if keep_prefix allows.

    most: look at no more batches than so many. Raises InputError.
    """
    data = _Content(file, content)
    try:
        opened = pa.ipc.open_file(pa.BufferReader(data.mapped))
        source = pa.BufferReader(content) if isinstance(content, bytes) else pa.OSFile(str(content))
    except FAULTS as fault:
        data.close()
        if not keep_prefix:
            raise _damage(file, "the Arrow file has no whole footer", fault) from fault
        losses.append(Loss("the Arrow file has no whole footer"))
        return open_stream(file, content, keep_prefix, losses, _FILE_START, most)
    data.require_unchanged()
    whole = _Whole(data, source, opened.schema, [])
    count = opened.num_record_batches if most is None else min(opened.num_record_batches, most)
    batches = (opened.get_batch(i) for i in range(count))
    return _measured(file, opened.schema, data, batches, whole, keep_prefix, losses)


def open_stream(
    file: InputFile,
    content: Path | bytes,
    keep_prefix: bool,
    losses: list[Loss],
    begin: int = 0,
    most: int | None = None,
) -> Batches:
    """An IPC stream, which has no index: its messages are walked through once. most: as of `open_file`.

    Raises InputError.
    """
    data = _Content(file, content)
    source = pa.BufferReader(data.mapped)
    source.seek(begin)
    places: list[tuple[int, int]] = []
    schema, needs_order, at = None, False, begin
    try:
        schema = pa.ipc.read_schema(source)
        while most is None or len(places) < most:
            at = source.tell()
            message = pa.ipc.read_message(source)
            if message is None:
                break
            if message.type == "record batch":
                places.append((at, source.tell()))
            needs_order = needs_order or message.type == "dictionary"
    except EOFError:
        pass
    except FAULTS as fault:
        if schema is None or not keep_prefix:
            raise _damage(file, f"the Arrow stream is damaged at byte {at}", fault) from fault
        losses.append(Loss("the Arrow stream is damaged", at))
    if needs_order:
        in_stream = _StreamInOrder(data, content, begin)
        return Batches(schema, in_stream, [0], data.mapped.size, 0, needs_order=True)

    def batches() -> Iterator[pa.RecordBatch]:
        for start, end in places:
            message = pa.ipc.read_message(pa.BufferReader(data.mapped.slice(start, end - start)))
            yield pa.ipc.read_record_batch(message, schema)

    whole = _Whole(data, None, schema, places)
    return _measured(file, schema, data, batches(), whole, keep_prefix, losses)


class _StreamInOrder(_Reader):
    """Of a stream whose dictionaries come between its batches: from the first to the last."""

    def __init__(self, content: _Content, of: Path | bytes, begin: int) -> None:
        self._content, self._of, self._begin = content, of, begin

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of them, checked. Raises pyarrow's errors and OSError."""
        source = pa.BufferReader(self._of) if isinstance(self._of, bytes) else pa.OSFile(str(self._of))
        source.seek(self._begin)
        for batch in pa.ipc.open_stream(source):
            check(batch)
            yield batch

    def require_unchanged(self) -> None:
        self._content.require_unchanged()

    def close(self) -> None:
        self._content.close()


def in_order(
    file: InputFile, batches: Batches, keep_prefix: bool, losses: list[Loss], piece_bytes: int
) -> Generator[pa.RecordBatch, None, None]:
    """All rows from the first to the last, dictionaries resolved, for a copy that can be cut. They come in
    pieces of about piece_bytes where that is possible."""
    try:
        if isinstance(batches.reader, _StreamInOrder):
            for batch in batches.reader.batches():
                yield from plain(batch, piece_bytes)
            return
        step = max(1, piece_bytes * max(batches.starts[-1], 1) // max(batches.size, 1))
        for i, (start, end) in enumerate(pairwise(batches.starts)):
            whole = end - start if batches.largest else step
            for at in range(0, max(end - start, 1), max(whole, 1)):
                count = min(whole, end - start - at)
                yield from plain(batches.reader.rows(i, at, count, batches.schema.names), piece_bytes)
    except FAULTS as fault:
        if not keep_prefix:
            raise _damage(file, "the Arrow data is damaged", fault) from fault
        losses.append(Loss("the Arrow data is damaged"))
    finally:
        batches.reader.require_unchanged()


def write(
    sink: Any, batches: Iterable[pa.RecordBatch], piece_bytes: int, schema: pa.Schema | None = None
) -> None:
    """Write batches as an IPC file, uncompressed, in pieces of about piece_bytes.

    sink: a file to write to. schema: that of the batches; if None there is at least one, and its is taken.
    """
    batches = iter(batches)
    if schema is None:
        first = next(batches)
        schema, batches = first.schema, chain([first], batches)
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), schema) as writer:
        for batch in batches:
            _write_pieces(writer, batch, piece_bytes)


def write_fields(sink: Any, names: Sequence[str], blocks: Iterable[pa.LargeBinaryArray]) -> None:
    """Write blocks of rows, each the values of all columns, one column after the other, as an IPC file."""
    schema = pa.schema([("fields", pa.large_binary())], metadata={_FIELDS: orjson.dumps(names)})
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), schema) as writer:
        for fields in blocks:
            writer.write_batch(pa.RecordBatch.from_arrays([fields], schema=schema))


def _write_pieces(writer: Any, batch: pa.RecordBatch, piece_bytes: int) -> None:
    rows = max(1, len(batch) * piece_bytes // max(batch.nbytes, 1))
    for at in range(0, max(len(batch), 1), rows):
        writer.write_batch(batch.slice(at, rows))


def plain(batch: pa.RecordBatch, piece_bytes: int) -> Iterator[pa.RecordBatch]:
    """A batch without dictionaries at the top: an IPC file can hold only one dictionary a column. It comes in
    pieces whose values are about piece_bytes, however long those of a dictionary are."""
    for begin, end in pieces(batch, piece_bytes):
        part = batch.slice(begin, end - begin)
        columns = [_plain(column) for column in part.columns]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of what `plain` gives."""
    return pa.schema([(field.name, _plain_type(field.type)) for field in schema])


def _plain(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        return _plain(column.storage)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _measured(
    file: InputFile,
    schema: pa.Schema,
    data: _Content,
    batches: Iterator[pa.RecordBatch],
    whole: _Whole,
    keep_prefix: bool,
    losses: list[Loss],
) -> Batches:
    starts, size, largest = [0], 0, 0
    said: list[pa.RecordBatch | None] = []
    in_rows = all(can_be_cut(kind) for kind in schema.types)
    while True:
        try:
            batch = next(batches, None)
        except FAULTS as fault:
            if not keep_prefix:
                raise _damage(file, f"record batch {len(said)} is damaged", fault) from fault
            losses.append(Loss(f"record batch {len(said)} is damaged"))
            break
        if batch is None:
            break
        starts.append(starts[-1] + len(batch))
        taken = batch.get_total_buffer_size()
        size += taken
        cut = in_rows and _is_in_place(batch, data)
        if not cut:
            largest = max(largest, taken)
        said.append(batch if cut else None)
    reader = _ForeignReader(data, schema, said, whole)
    reader.require_unchanged()
    return Batches(schema, reader, starts, size, largest)


def _is_in_place(batch: pa.RecordBatch, data: _Content) -> bool:
    """Whether all buffers of a batch are the file's own bytes, not decompressed ones."""
    return all(
        buffer is None or not buffer.size or data.holds(buffer)
        for column in batch.columns
        for buffer in column.buffers()
    )


def _damage(file: InputFile, what: str, fault: Exception) -> InputError:
    return InputError(
        f"{file.path}: {what} ({one_line(fault)}); write the file again, or keep what comes before with "
        "data.on_corrupt: keep_prefix"
    )
