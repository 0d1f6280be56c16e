"""Parquet, its row groups cut by the rows alone: so its bytes depend on nothing else.

A Parquet file cannot be gone on with, so until the split is whole its rows wait in a log of Arrow batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.errors import ValidationError
from forge_gpu.io.atomic import PARTIAL, replacing
from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import (
    Field,
    OnBlock,
    OutputPath,
    Positions,
    Sink,
    Written,
)
from forge_gpu.io.sinks.batch_log import GROUP_ROWS, BatchLog
from forge_gpu.io.sinks.lines import BLOCK_BYTES, Blocks, LinesToArrow, schema_of
from forge_gpu.io.sinks.shards import ShardedFormat, ShardRows
from forge_gpu.kernels.layout import U8, Text
from forge_gpu.plain import frozen

SUFFIX = ".parquet"
LOG = SUFFIX + ".batches"
UNUSED_BYTES = 2**23
"""Arrow's memory that is no longer used is given back once so many bytes of groups have passed; each time it
is asked for again, the machine clears it."""


class ParquetFile:
    """One file: lines become batches block by block, and batches a file when all of them are there."""

    def __init__(self, shard: ShardRows, schema: pa.Schema | None = None) -> None:
        """schema: of the file, where that is another than that of its lines."""
        self.path, self._rows = shard.folder / (shard.stem + SUFFIX), shard.rows
        self._schema, self._to_arrow = schema or schema_of(shard.columns), LinesToArrow(shard.columns)
        log = shard.folder / (shard.stem + LOG)
        self._log = BatchLog(log, self.path, self._schema, shard.positions.get(log.name, 0))
        lines, capacity = self._log.lines()
        self._blocks = Blocks(capacity or BLOCK_BYTES, lines)

    def append(self, lines: Text) -> None:
        for block in self._blocks.add(lines):
            self._append(block)

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        """See `base.ColumnSink`."""
        return self._log.place(rows, self._blocks.capacity)

    def begin_sync(self) -> None:
        self._log.begin_sync()

    def sync(self) -> Positions:
        self._log.append_lines(self._blocks.unsaved(), self._blocks.capacity)
        return self._log.sync()

    def finish(self) -> list[Written]:
        for block in self._blocks.rest():
            self._append(block)
        # What lines were held in is given back before row groups are.
        self._blocks, self._to_arrow = Blocks(0), LinesToArrow({})
        pa.default_memory_pool().release_unused()
        with (
            replacing(self.path) as partial,
            pq.ParquetWriter(
                partial,
                self._schema,
                compression="zstd",
                use_dictionary=_repeating(self._schema),
                write_statistics=_numbers(self._schema),
            ) as writer,
        ):
            passed = _Passed()
            for group in self._log.groups():
                # One chunk a column: the writer's pages would otherwise follow the batches' edges.
                writer.write_table(group, row_group_size=GROUP_ROWS)
                size = group.nbytes
                del group  # before the next is read
                passed.add(size)
        return [Written(self.path, self._rows)]

    def close(self) -> None:
        self._log.close()

    def _append(self, block: U8) -> None:
        self.place_columns(self._to_arrow.batch(block))()


class _Passed:
    """Counts what has been read or written, and gives back memory now and then."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= UNUSED_BYTES:
            pa.default_memory_pool().release_unused()
            self._bytes = 0


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns whose values are written once each. Lists of ids are smaller, and made sooner, without that."""
    return [field.name for field in schema if not pa.types.is_list(field.type)]


@frozen
class Parquet(ShardedFormat):
    """See `base.Format`."""

    def shard(self, shard: ShardRows) -> Sink:
        return ParquetFile(shard)

    def room(self, lines: int) -> int:
        return lines + lines // 2  # the batches, and the files made of them

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path if isinstance(path, Path) else path.open()) as file:
            yield from file.iter_batches(batch_rows)

    def check(
        self,
        path: Path,
        fields: Sequence[Field],
        on_block: OnBlock,
        beside: Executor | None,
    ) -> tuple[int, str]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        read, size = 0, path.stat().st_size
        with pq.ParquetFile(path) as table:
            rows: int = table.metadata.num_rows
            for batch in _groups(table, [field.name for field in fields]):
                for field in fields:
                    if batch[field.name].null_count and not field.may_be_null:
                        raise ValidationError(f"{path}: rows from {read} on have no {field.name}")
                read += len(batch)
                on_block(len(batch), 0)
        on_block(rows - read, size)
        return rows, digest


def _numbers(schema: pa.Schema) -> list[str] | bool:
    """The columns with statistics. Nobody asks for the least and the greatest text or id of a row group, and
    those of texts would be in memory until the file is whole."""
    return [
        field.name
        for field in schema
        if not (pa.types.is_large_string(field.type) or pa.types.is_list(field.type))
    ] or False


def _groups(table: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Some columns, no more than a row group at a time: batches of many rows would hold several."""
    passed = _Passed()
    for group in range(table.num_row_groups) if columns else ():
        yield from table.iter_batches(GROUP_ROWS, row_groups=[group], columns=columns, use_threads=False)
        passed.add(table.metadata.row_group(group).total_byte_size)


FORMAT = Parquet(SUFFIX, (SUFFIX + PARTIAL, LOG), takes_columns=True)
