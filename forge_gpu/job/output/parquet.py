"""Parquet output, made from the JSON lines: its bytes depend on the rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.io.atomic import replacing
from forge_gpu.job.output.read_back import iter_batches, schema_of

GROUP_ROWS = 16384
GROUP_BYTES = 64 * 2**20
"""A row group ends at so many rows, or with the row that brings it to so many bytes."""


def convert(lines: Path, columns: dict[str, str]) -> Path:
    """Write `<name>.parquet` beside `<name>.jsonl`. Returns the new path."""
    path = lines.with_suffix(".parquet")
    schema = schema_of(columns)
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for group in _groups(iter_batches([lines], columns, GROUP_ROWS)):
            # One chunk a column: the writer's pages would otherwise follow the batches' edges.
            writer.write_table(group.combine_chunks(), row_group_size=GROUP_ROWS)
    return path


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        begin = 0
        while begin < len(batch):
            count = _fitting(batch.slice(begin), GROUP_ROWS - rows, GROUP_BYTES - size)
            piece = batch.slice(begin, count)
            held.append(piece)
            rows, size, begin = rows + count, size + _bytes(piece), begin + count
            if rows == GROUP_ROWS or size >= GROUP_BYTES:
                yield pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


def _bytes(batch: pa.RecordBatch) -> int:
    return int(batch.nbytes)


def _fitting(batch: pa.RecordBatch, rows: int, size: int) -> int:
    """How many rows of the batch the group takes: those within both bounds, and the one that crosses."""
    low, high = 1, min(rows, len(batch))
    while low < high:  # the least count whose bytes reach the bound
        middle = (low + high) // 2
        if _bytes(batch.slice(0, middle)) >= size:
            high = middle
        else:
            low = middle + 1
    return low
