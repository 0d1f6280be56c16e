"""Parquet output: segments that survive a crash, put together at the end into files of fixed row groups."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import PARTIAL, make_folder, publish
from forge_gpu.io.disk import output_fault
from forge_gpu.io.sinks import publish_all, shard_names

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 65_536
BYTES_PER_GROUP = 64 * 2**20
"""A row group ends at the first row that reaches one of the two: a function of the rows alone."""


class ParquetSink:
    """The rows of one split, as Parquet.

    write: the rows of one checkpoint range, as one Arrow IPC file in `work`; whole or not there, so a
    resumed job writes only what is missing. commit: the segments in the order of their numbers, as
    `train.parquet` or in shards of rows_per_shard rows. The bytes depend on the rows and the schema, never
    on how they came. Raises OutputError.
    """

    def __init__(
        self, folder: Path, stem: str, schema: pa.Schema, work: Path, rows_per_shard: int | None = None
    ) -> None:
        self._folder = folder
        self._stem = stem
        self._schema = schema
        self._work = make_folder(work)
        self._per_shard = rows_per_shard

    def write(self, number: int, batches: Iterable[pa.RecordBatch]) -> None:
        """Write segment `number`, over an older one if there is one."""
        import pyarrow as pa

        path = self._segment(number)
        partial = path.with_name(path.name + PARTIAL)
        try:
            with open(partial, "wb") as file:
                with pa.ipc.new_file(file, self._schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
            publish(partial, path)
        except OSError as fault:
            raise output_fault(fault, path) from fault

    def has(self, number: int) -> bool:
        """Whether segment `number` is there, and so whole."""
        return self._segment(number).exists()

    def commit(self, segments: int) -> list[Path]:
        """Put segments 0 ... segments - 1 together and give the files their names.

        Memory: one row group. Doing so again after a crash in the midst of it is allowed. The segments stay
        until `clear`.
        """
        make_folder(self._folder)
        rows = sum(self._rows(number) for number in range(segments))
        per_shard = self._per_shard or max(rows, 1)
        paths = [self._folder / name for name in shard_names(self._stem, ".parquet", rows, self._per_shard)]
        groups = _groups(self._batches(segments), self._schema, per_shard)
        for i, path in enumerate(paths):
            self._write_shard(path, groups, min(per_shard, rows - i * per_shard))
        publish_all(paths)
        return paths

    def clear(self) -> None:
        """Remove the segments."""
        for path in self._work.glob(f"{self._stem}-*.arrow*"):
            path.unlink(missing_ok=True)

    def _segment(self, number: int) -> Path:
        return self._work / f"{self._stem}-{number:08d}.arrow"

    def _rows(self, number: int) -> int:
        import pyarrow as pa

        try:
            with pa.memory_map(str(self._segment(number))) as file:
                reader = pa.ipc.open_file(file)
                return sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
        except (OSError, pa.ArrowException) as fault:
            raise OutputError(
                f"{self._segment(number)}: is missing or damaged ({fault}); start anew with --fresh"
            ) from fault

    def _batches(self, segments: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for number in range(segments):
            with pa.memory_map(str(self._segment(number))) as file:
                reader = pa.ipc.open_file(file)
                yield from map(reader.get_batch, range(reader.num_record_batches))

    def _write_shard(self, path: Path, groups: Iterator[pa.Table], rows: int) -> None:
        import pyarrow.parquet as pq

        partial = path.with_name(path.name + PARTIAL)
        try:
            with open(partial, "wb") as file:
                with pq.ParquetWriter(file, self._schema, version="2.6", compression="zstd") as writer:
                    done = 0
                    while done < rows:
                        group = next(groups)
                        writer.write_table(group, row_group_size=len(group))
                        done += len(group)
                file.flush()
                os.fsync(file.fileno())
        except OSError as fault:
            raise output_fault(fault, path) from fault


def _groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema, per_shard: int) -> Iterator[pa.Table]:
    """Row groups: each of at most ROWS_PER_GROUP rows, ended by the row that makes BYTES_PER_GROUP full and
    at the end of a shard."""
    import pyarrow as pa

    from forge_gpu.io.columns import value_bytes

    pieces: list[pa.RecordBatch] = []
    rows = size = shard_rows = 0
    for batch in batches:
        ends = np.cumsum(value_bytes(batch))
        at = 0
        while at < len(batch):
            before = int(ends[at - 1]) if at else 0
            full = int(np.searchsorted(ends, before + BYTES_PER_GROUP - size)) + 1
            stop = min(full, at + ROWS_PER_GROUP - rows, at + per_shard - shard_rows, len(batch))
            pieces.append(batch.slice(at, stop - at))
            rows += stop - at
            shard_rows += stop - at
            size += int(ends[stop - 1]) - before
            at = stop
            if rows == ROWS_PER_GROUP or size >= BYTES_PER_GROUP or shard_rows == per_shard:
                yield pa.Table.from_batches(pieces, schema).combine_chunks()
                pieces, rows, size = [], 0, 0
                shard_rows %= per_shard
    if pieces:
        yield pa.Table.from_batches(pieces, schema).combine_chunks()
