"""A ledger as a sequence of rows: where the rows of each input stand, and these a window at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forge_gpu.errors import InputError
from forge_gpu.io.faults import first_line
from forge_gpu.job.facts.columns import TEXT
from forge_gpu.kernels.layout import I64

PARTS = 24
"""Bits of a row's key that say which part it is, from 1; 0 where nothing is made of it but itself."""
NEEDED = {name: TEXT for name in ("file", "fate", "reason", "shard")} | {
    "row": pa.int64(),
    "line": pa.int64(),
}


class Ledger:
    """Raises InputError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            self.columns: list[str] = self._file.schema_arrow.names
            schema = self._file.schema_arrow
            kinds = {name: schema.field(name).type for name in self.columns}
            if any(kinds.get(name) != kind for name, kind in NEEDED.items()):
                raise InputError(f"{path}: is not a ledger of Forge")
            groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
            self._starts = np.concatenate([[0], np.cumsum(groups)]).astype(np.int64)
            self.runs = self._find_runs()
        except (OSError, pa.ArrowException) as fault:
            raise InputError(f"{path}: cannot be read as a ledger: {first_line(fault)}") from fault
        self._held: tuple[int, pa.Table] | None = None

    def _find_runs(self) -> dict[tuple[str, int], tuple[int, int]]:
        """(input, how often it came before) -> where its rows begin and end."""
        runs: dict[tuple[str, int], tuple[int, int]] = {}
        times: dict[str, int] = {}
        current, begin, place = "", 0, 0
        for batch in self._file.iter_batches(columns=["file"]):
            encoded = batch.column(0)
            words = encoded.dictionary.to_pylist()
            codes = np.frombuffer(encoded.indices.buffers()[1], np.int32)[encoded.indices.offset :]
            codes = codes[: len(encoded)]
            edges = np.flatnonzero(np.diff(codes, prepend=-1))
            for edge in edges.tolist():
                name = words[codes[edge]]
                if name != current or place + edge == 0:
                    if place + edge:
                        runs[current, times[current]] = (begin, place + edge)
                    current, begin = name, place + edge
                    times[name] = times.get(name, -1) + 1
            place += len(encoded)
        if place:
            runs[current, times[current]] = (begin, place)
        return runs

    def windows(self, begin: int, end: int) -> Iterator[tuple[I64, pa.Table]]:
        """The keys of rows begin ... end - 1, which rise, and the rows, a row group at most at a time."""
        while begin < end:
            group = int(np.searchsorted(self._starts, begin, side="right")) - 1
            table = self._group(group)
            last = min(end, int(self._starts[group + 1]))
            rows = table.slice(begin - int(self._starts[group]), last - begin)
            yield _keys(rows), rows
            begin = last

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = None
            try:
                table = self._file.read_row_group(number)
            except (OSError, pa.ArrowException) as fault:
                raise InputError(f"{self.path}: cannot be read as a ledger: {first_line(fault)}") from fault
            self._held = number, table.combine_chunks()
        return self._held[1]


def _keys(rows: pa.Table) -> I64:
    """int64[n]: the row of each in its input, and its part."""
    row = integers(rows["row"], -1)
    part = integers(rows["part"], -1) if "part" in rows.schema.names else np.full(len(rows), -1)
    keys: I64 = (row << PARTS) | (part + 1)
    return keys


def integers(column: pa.ChunkedArray, null: int) -> I64:
    """int64[n], with a number for null."""
    filled = pc.fill_null(column, null).combine_chunks()
    values = np.frombuffer(filled.buffers()[1], np.int64)
    return values[filled.offset : filled.offset + len(filled)]
