"""A hash of the content of each row in a split, whatever the format of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from forge_gpu.errors import InputError
from forge_gpu.io.disk import output_fault
from forge_gpu.io.sinks.base import OutputPath
from forge_gpu.kernels.cpu.hashing import xxh3_128
from forge_gpu.kernels.layout import I64, PADDING, U8, U64, Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen
from forge_gpu.share.prepared import Prepared, reading

ROWS_AT_ONCE = 8192
HASH = np.dtype([("low", np.uint64), ("high", np.uint64)])


@frozen
class RowHashes:
    """Of all splits of a folder: mapped, HASH[n], so that they are in memory only where they are looked at.

    first: the place of each file's first row; rows: how many it has.
    """

    hashes: np.ndarray
    first: dict[str, int]
    rows: dict[str, int]

    def at(self, file: str, lines: I64) -> np.ndarray:
        """HASH[m], of the rows on these lines of a file, counted from 1. Raises InputError."""
        if file not in self.first or (len(lines) and not 1 <= lines.min() <= lines.max() <= self.rows[file]):
            raise InputError(f"{file}: the ledger names a line that is not there; see forge verify")
        return np.asarray(self.hashes[self.first[file] + lines - 1])


def write_hashes(
    prepared: Prepared, columns: Sequence[str], path: Path, on_rows: Callable[[int], None]
) -> RowHashes:
    """Hash the columns of each row in a split, into a file. on_rows: hears how many more are done.

    Without columns every hash is the same. Raises ForgeError.
    """
    scratch = Scratch()
    first, counted = {}, {}
    total = 0
    try:
        with path.open("wb") as out:
            for split, files in prepared.split_files.items():
                for file, part in zip(files, prepared.splits[split].paths, strict=True):
                    first[file.file], counted[file.file] = total, 0
                    for batch in _batches(prepared, part):
                        _require_columns(batch, columns, file.file)
                        out.write(_hashes(batch, columns, scratch).tobytes())
                        counted[file.file] += len(batch)
                        on_rows(len(batch))
                    total += counted[file.file]
    except OSError as fault:
        raise output_fault(fault, path) from fault
    hashes = np.memmap(path, HASH, "r", shape=(total,)) if total else np.zeros(0, HASH)
    return RowHashes(hashes, first, counted)


def _batches(prepared: Prepared, path: OutputPath) -> Iterator[pa.RecordBatch]:
    from forge_gpu.job.output.read_back import iter_batches

    columns = prepared.manifest["columns"]
    batches = iter_batches(prepared.config.output.format, [path], columns, ROWS_AT_ONCE)
    while True:
        with reading(Path(str(path))):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _require_columns(batch: pa.RecordBatch, columns: Sequence[str], file: str) -> None:
    lacking = [name for name in columns if name not in batch.schema.names]
    if lacking:
        raise InputError(f"{file}: has no column {lacking[0]!r}, which the manifest names; see forge verify")


def _hashes(batch: pa.RecordBatch, columns: Sequence[str], scratch: Scratch) -> np.ndarray:
    """HASH[n]: of the hashes of the columns, each with whether it is there."""
    rows = np.zeros((len(batch), 17 * len(columns)), np.uint8)
    for number, name in enumerate(columns):
        array = batch.column(name)
        part = rows[:, 17 * number : 17 * (number + 1)]
        present = _valid(array)
        part[:, :16] = xxh3_128(_text(array), scratch).view(np.uint8).reshape(len(batch), 16)
        part[~present, :16] = 0
        part[:, 16] = present
    width = rows.shape[1]
    data = np.zeros(rows.size + PADDING, np.uint8)
    data[: rows.size] = rows.reshape(-1)
    whole: U64 = xxh3_128(Text(data, np.arange(len(batch) + 1, dtype=np.int64) * width), scratch)
    return np.ascontiguousarray(whole).view(HASH).reshape(-1).copy()


def _valid(array: pa.Array) -> np.ndarray:
    bitmap = array.buffers()[0]
    if bitmap is None or not array.null_count:
        return np.ones(len(array), np.bool_)
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(np.bool_)


def _text(array: pa.Array) -> Text:
    """The bytes of each value: of texts as they are, of lists those of their numbers, of numbers their own
    ones."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if pa.types.is_large_string(array.type):
        offsets, width, data = _offsets(array, np.int64), 1, array.buffers()[2]
    elif pa.types.is_list(array.type):
        values = array.values
        width = values.type.bit_width // 8
        offsets, data = _offsets(array, np.int32) + values.offset, values.buffers()[1]
    else:
        width, data = array.type.bit_width // 8, array.buffers()[1]
        offsets = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64)
    return _padded(data, offsets * width)


def _offsets(array: pa.Array, dtype: type[np.signedinteger]) -> I64:
    whole = np.frombuffer(array.buffers()[1], dtype)
    return whole[array.offset : array.offset + len(array) + 1].astype(np.int64)


def _padded(data: pa.Buffer | None, offsets: I64) -> Text:
    begin, end = int(offsets[0]), int(offsets[-1])
    own: U8 = np.zeros(end - begin + PADDING, np.uint8)
    if data is not None:
        own[: end - begin] = np.frombuffer(data, np.uint8)[begin:end]
    return Text(own, offsets - begin)
