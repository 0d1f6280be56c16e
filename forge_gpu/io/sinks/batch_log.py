"""Arrow batches of one file to come, in groups, as a log on the disk that goes on after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from forge_gpu.io.growing import GrowingFile, Write, write_all
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.plain import frozen

GROUP_ROWS = 16384
GROUP_BYTES = 6 * 2**20
"""A group ends at so many rows, or with the row that brings it to so many bytes."""

NUMBER_BYTES, LIST_BYTES = 8, 4
"""What a value counts for beside a text's bytes, and a number of a list."""

_HEAD = np.dtype([("length", "<i8"), ("rows", "<i8"), ("bytes", "<i8"), ("capacity", "<i8")])
"""Before each entry: its own bytes; rows of a batch and the bytes they count for, 0 rows for lines that are
in no batch yet; bytes of a block of lines."""


@frozen
class _Entry:
    begin: int
    length: int
    rows: int
    bytes: int
    capacity: int


class BatchLog:
    """A file of batches that are cut where groups end. Lines in it are void behind a batch: it has them.

    resume_at: bytes of an earlier run that stay. Raises OutputError.
    """

    def __init__(self, path: Path, of: Path, schema: pa.Schema, resume_at: int) -> None:
        self._schema = schema
        self._file = GrowingFile(path, resume_at, of)
        self._rows = self._bytes = 0  # of the last group, which is not full
        for entry in self._entries():
            self._count(entry.rows, entry.bytes)

    def place(self, batch: pa.RecordBatch, capacity: int) -> Write:
        """Add rows, each to the group that it belongs to; what writes them, as `GrowingFile.place` has it."""
        begin, sizes = 0, np.concatenate(([0], np.cumsum(row_bytes(batch))))
        writes: list[Write] = []
        while begin < len(batch):
            # The least count whose bytes reach the bound.
            full = int(np.searchsorted(sizes, sizes[begin] + GROUP_BYTES - self._bytes))
            end = min(max(full, begin + 1), begin + GROUP_ROWS - self._rows, len(batch))
            size = int(sizes[end] - sizes[begin])
            own = batch.slice(begin, end - begin)
            writes += self._place(own.serialize(), end - begin, size, capacity)
            self._count(end - begin, size)
            begin = end
        return partial(write_all, writes)

    def append_lines(self, lines: U8, capacity: int) -> None:
        """Add lines that are in no batch yet."""
        if len(lines):
            write_all(self._place(lines.data, 0, 0, capacity))

    def lines(self) -> tuple[bytes, int | None]:
        """The lines that are in no batch, and the capacity of blocks at the end; None of an empty log."""
        last: list[_Entry] = []
        capacity = None
        for entry in self._entries():
            last = [] if entry.rows else [*last, entry]
            capacity = entry.capacity
        return b"".join(self._file.content(entry.begin, entry.length) for entry in last), capacity

    def groups(self) -> Iterator[pa.Table]:
        """The rows, a group a table, one chunk a column. What is in no batch is left out."""
        group: list[pa.RecordBatch] = []
        rows = size = 0
        for entry in self._entries():
            if entry.rows:
                message = pa.py_buffer(self._file.content(entry.begin, entry.length))
                group.append(pa.ipc.read_record_batch(message, self._schema))
                rows, size = rows + entry.rows, size + entry.bytes
            if _is_full(rows, size):
                rows = size = 0
                yield _as_one(group)
        if group:
            yield _as_one(group)

    def begin_sync(self) -> None:
        self._file.begin_sync()

    def sync(self) -> dict[str, int]:
        """Bring it to the disk; its bytes there."""
        self._file.sync()
        return {self._file.path.name: self._file.position()}

    def close(self) -> None:
        self._file.close()

    def _place(
        self, data: pa.Buffer | memoryview, rows: int, size: int, capacity: int
    ) -> tuple[Write, Write]:
        view = memoryview(data)
        head = np.array((view.nbytes, rows, size, capacity), _HEAD)
        return self._file.place(head.tobytes()), self._file.place(view)

    def _count(self, rows: int, size: int) -> None:
        self._rows, self._bytes = self._rows + rows, self._bytes + size
        if _is_full(self._rows, self._bytes):
            self._rows = self._bytes = 0

    def _entries(self) -> Iterator[_Entry]:
        position = 0
        while position < self._file.position():
            head = np.frombuffer(self._file.content(position, _HEAD.itemsize), _HEAD)[0]
            length, rows, size, capacity = map(int, head)
            yield _Entry(position + _HEAD.itemsize, length, rows, size, capacity)
            position += _HEAD.itemsize + length


def _as_one(batches: list[pa.RecordBatch]) -> pa.Table:
    """Batches as a table of one chunk a column; they are let go of, so that their memory is free before the
    table is written."""
    table = pa.Table.from_batches(batches)
    batches.clear()
    return table.combine_chunks()


def _is_full(rows: int, size: int) -> bool:
    return rows == GROUP_ROWS or size >= GROUP_BYTES


def row_bytes(batch: pa.RecordBatch) -> I64:
    """What each row counts for: int64[n], of the rows alone, in whatever batches they come."""
    sizes = np.full(len(batch), NUMBER_BYTES * batch.num_columns, np.int64)
    for column in batch.columns:
        if pa.types.is_list(column.type):
            sizes += LIST_BYTES * np.diff(_offsets(np.int32, column))
        elif pa.types.is_large_string(column.type):
            sizes += np.diff(_offsets(np.int64, column))
    return sizes


def _offsets(kind: type[np.integer], column: pa.Array) -> np.ndarray:
    return np.frombuffer(column.buffers()[1], kind)[column.offset : column.offset + len(column) + 1]
