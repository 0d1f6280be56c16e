"""CSV and TSV as record batches: every field as its bytes, no guess of types or nulls, no row dropped."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss
from forge_gpu.io.streams import BlockReader

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 2**20
"""What is parsed at a time, and so about the size of a batch."""

BAD_COLUMN = "forge: source of a refused row"
_BAD_BATCH_BYTES = 2**20


class RowTooLarge(Exception):
    """A row does not fit a block: read again with a larger one."""


def largest_block(max_row_bytes: int) -> int:
    """Bytes of the largest block to try: a row of max_row_bytes can be read, or said to be too long."""
    return min(2 * max(max_row_bytes, 32 * 2**20), 2**30)


def too_large(file: InputFile, block_bytes: int) -> InputError:
    return InputError(
        f"{file.path}: a row is longer than {block_bytes // 2} bytes (is a quote never closed?); mend it, "
        "or raise data.max_row_bytes"
    )


@dataclass(frozen=True, slots=True)
class _Refused:
    """A row with a wrong number of fields; `number` counts from 0, the first record after the header."""

    number: int
    source: bytes


def batches(
    file: InputFile,
    blocks: Iterator[bytes],
    delimiter: str,
    block_bytes: int = BLOCK_BYTES,
    keep_prefix: bool = False,
    losses: list[Loss] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of a table of text, in order. At least one batch, which may be empty.

    blocks: the decoded file. Columns are large_binary and named as the header says; a last column,
    BAD_COLUMN, is null but for rows with a wrong number of fields: it is their source text, and the other
    columns are null there. Batches depend on the content and on block_bytes alone.
    Raises RowTooLarge; InputError for a header that is not UTF-8 or names a column twice, and for a quote
    that is never closed (with keep_prefix the row that holds it is left out and `losses` is told).
    """
    import pyarrow as pa

    text = _Text(blocks)
    refused: deque[_Refused] = deque()
    reader = _open(file, text, delimiter, block_bytes, refused)
    schema = _schema(file, reader.schema.names)
    assembler = _Assembler(schema, refused)
    held = pa.RecordBatch.from_pylist([], schema)  # the last batch, until it is known to end well
    while (batch := _next(reader)) is not None:
        for made in assembler.take(batch):
            if len(held):
                yield held
            held = made
    for made in assembler.rest():
        if len(held):
            yield held
        held = made
    if text.ends_in_quote(held):
        what = f"a quote opened in row {assembler.rows} is never closed"
        if not keep_prefix:
            raise InputError(
                f"{file.path}: {what}; mend the file, or keep the rows before it with "
                "data.on_corrupt: keep_prefix"
            )
        if losses is not None:
            losses.append(Loss(what))
        held = held.slice(0, len(held) - 1)
    yield held


class _Text:
    """The decoded file as a reader wants it: with a newline at its end, and its last bytes remembered."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._tail = b""
        self.reader = BlockReader(self._pass())

    def _pass(self) -> Iterator[bytes]:
        for block in self._blocks:
            self._tail = (self._tail + block[-64:])[-64:]
            yield block
        if self._tail and not self._tail.endswith((b"\n", b"\r")):
            yield b"\n"

    def ends_in_quote(self, last: pa.RecordBatch) -> bool:
        """Whether the last row was ended by the end of the file and not by its closing quote: its last
        field goes over several lines, but what ends the file is no quote."""
        if not len(last) or self._tail.rstrip(b" \t\r\n").endswith(b'"'):
            return False
        bad = last.column(last.num_columns - 1)[-1]
        if bad.is_valid:
            source: bytes = bad.as_py()
            return b"\n" in source.rstrip(b"\r\n") and source.count(b'"') % 2 == 1
        return b"\n" in (last.column(last.num_columns - 2)[-1].as_py() or b"")


def _open(file: InputFile, text: _Text, delimiter: str, block_bytes: int, refused: deque[_Refused]) -> Any:
    """A streaming reader. The text is passed as Latin-1, which has a character for each byte, so that a
    row which is not UTF-8 goes through as it is, and so does the source of one that is refused."""
    import pyarrow as pa
    from pyarrow import csv

    def refuse(row: Any) -> str:
        refused.append(_Refused(row.number - 2, row.text.encode("latin-1")))
        return "skip"

    try:
        return csv.open_csv(
            pa.PythonFile(text.reader, mode="r"),
            read_options=csv.ReadOptions(block_size=block_bytes, use_threads=False, encoding="latin-1"),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=csv.ConvertOptions(
                default_column_type=pa.large_binary(), strings_can_be_null=False, check_utf8=False
            ),
        )
    except pa.ArrowInvalid as fault:
        if "straddl" in str(fault) or "header" in str(fault):
            raise RowTooLarge from fault
        raise InputError(f"{file.path}: not a table: {fault}") from fault


def _next(reader: Any) -> pa.RecordBatch | None:
    import pyarrow as pa

    try:
        return reader.read_next_batch()
    except StopIteration:
        return None
    except pa.ArrowInvalid as fault:
        if "straddl" in str(fault):
            raise RowTooLarge from fault
        raise


def _schema(file: InputFile, header: list[str]) -> pa.Schema:
    import pyarrow as pa

    try:
        names = [name.encode("latin-1").decode() for name in header]
    except UnicodeDecodeError as fault:
        raise InputError(
            f"{file.path}: the header is not UTF-8; name the file's encoding with data.encoding, e.g. cp1252"
        ) from fault
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{file.path}: the header names column {twice[0]!r} more than once; rename one")
    return pa.schema([(name, pa.large_binary()) for name in [*names, BAD_COLUMN]])


class _Assembler:
    """Puts refused rows back in their places between the good ones.

    Those before a good row go into its batch. Where there are many in a row they make batches of their
    own, cut by their size, so memory stays bounded and batches do not depend on how far the reader is ahead.
    """

    def __init__(self, schema: pa.Schema, refused: deque[_Refused]) -> None:
        self._schema = schema
        self._refused = refused
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.rows = 0

    def take(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield from self._collect()
        if not len(batch):
            return
        first = self.rows - len(self._pending)
        places, sources = list(range(len(self._pending))), self._flush()
        while self._refused and self._refused[0].number - first - len(sources) < len(batch):
            row = self._refused.popleft()
            places.append(row.number - first)
            sources.append(row.source)
        self.rows = first + len(sources) + len(batch)
        yield self._merge(batch, places, sources)

    def rest(self) -> Iterator[pa.RecordBatch]:
        yield from self._collect()
        if self._pending:
            yield self._merge(None, list(range(len(self._pending))), self._flush())

    def _collect(self) -> Iterator[pa.RecordBatch]:
        """Take refused rows that come next in the file; batches of them alone where they are many."""
        while self._refused and self._refused[0].number == self.rows:
            row = self._refused.popleft()
            self._pending.append(row.source)
            self._pending_bytes += len(row.source) + 64
            self.rows += 1
            if self._pending_bytes >= _BAD_BATCH_BYTES:
                yield self._merge(None, list(range(len(self._pending))), self._flush())

    def _flush(self) -> list[bytes]:
        sources, self._pending, self._pending_bytes = self._pending, [], 0
        return sources

    def _merge(self, batch: pa.RecordBatch | None, places: list[int], sources: list[bytes]) -> pa.RecordBatch:
        import pyarrow as pa

        good = [] if batch is None else [_as_bytes(column) for column in batch.columns]
        rows = len(sources) + (len(batch) if batch is not None else 0)
        source = pa.array(sources, pa.large_binary())
        if not sources:
            return pa.RecordBatch.from_arrays([*good, pa.nulls(rows, pa.large_binary())], schema=self._schema)
        is_bad = np.zeros(rows, np.bool_)
        is_bad[places] = True
        take_bad = pa.array(np.cumsum(is_bad) - 1, mask=~is_bad)
        take_good = pa.array(np.cumsum(~is_bad) - 1, mask=is_bad)
        if batch is None:
            good = [pa.nulls(rows, pa.large_binary()) for _ in self._schema.names[:-1]]
        else:
            good = [column.take(take_good) for column in good]
        return pa.RecordBatch.from_arrays([*good, source.take(take_bad)], schema=self._schema)


def _as_bytes(column: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """A column of UTF-8 made of Latin-1 as the bytes that it was: a character is a byte."""
    import pyarrow as pa

    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return column
    edges = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    used = np.frombuffer(data, np.uint8)[edges[0] : edges[-1]]
    if not len(used) or used.max() < 0x80:
        return column
    second = np.flatnonzero(used.view(np.int8) < -64)  # bytes 0x80 to 0xBF: a character's second byte
    edges = edges - edges[0]
    edges -= np.searchsorted(second, edges)
    back = used.tobytes().decode().encode("latin-1")
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(column), [None, pa.py_buffer(edges), pa.py_buffer(back)]
    )
