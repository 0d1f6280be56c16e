"""A split in shards: files of a fixed number of rows, each with a sink of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import pyarrow as pa

from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import (
    ColumnSink,
    FileFormat,
    PlacingSink,
    Positions,
    Sink,
    SplitRows,
    Written,
    is_written,
    placed,
    shard_stems,
)
from forge_gpu.kernels.layout import Text
from forge_gpu.plain import frozen

OpenShard = Callable[[str, int, Positions], Sink]
"""The sink of a shard, by its stem, the rows it is to have, and the positions of an earlier run."""


class Shards(PlacingSink):
    """Rows in the shards that they belong to, one of them open at a time. One alone is a shard as well."""

    def __init__(self, open_shard: OpenShard, split: SplitRows, positions: Positions) -> None:
        self._open_shard = open_shard
        self._stems = shard_stems(split.stem, split.rows, split.rows_per_shard)
        self._all_rows, self._rows_per_shard = split.rows, split.rows_per_shard
        self._before, self._synced = positions, dict[str, int]()
        self._shard, self._rows = 0, split.written  # rows: in the present shard
        if split.rows_per_shard is not None and split.written:
            self._shard, self._rows = divmod(split.written - 1, split.rows_per_shard)
            self._rows += 1
        self._sink: Sink | None = None

    def append(self, lines: Text) -> None:
        for sink, begin, end in self._places(len(lines)):
            sink.append(Text(lines.data, lines.offsets[begin : end + 1]))

    def place(self, lines: Text) -> Write:
        """See `base.PlacingSink`. A full shard is synced before the next one begins: rows that go to one of
        several are written at once."""
        if self._rows_per_shard is not None or not len(lines):
            self.append(lines)
            return is_written
        ((sink, _, _),) = self._places(len(lines))
        return placed(sink, lines)

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        """See `base.ColumnSink`, and `place`."""
        left: list[Write] = []
        for sink, begin, end in self._places(len(rows)):
            left.append(cast(ColumnSink, sink).place_columns(rows.slice(begin, end - begin)))
            if self._rows_per_shard is not None:
                left.pop()()
        return left[0] if left else is_written

    def _places(self, rows: int) -> Iterator[tuple[Sink, int, int]]:
        """The shards that so many rows go to, and which of them each takes."""
        begin = 0
        while begin < rows:
            if self._rows == self._rows_per_shard:
                self._end_shard()
                self._shard, self._rows = self._shard + 1, 0
            if self._sink is None:
                self._sink = self._open(self._shard)
            room = rows - begin if self._rows_per_shard is None else self._rows_per_shard - self._rows
            end = min(begin + room, rows)
            yield self._sink, begin, end
            self._rows += end - begin
            begin = end

    def begin_sync(self) -> None:
        if self._sink is not None:
            self._sink.begin_sync()

    def sync(self) -> Positions:
        if self._sink is not None:
            self._synced.update(self._sink.sync())
        return self._synced

    def finish(self) -> list[Written]:
        if len(self._stems) > 1:
            self._end_shard()
        written = []
        for shard in range(len(self._stems)):
            self._sink = self._sink or self._open(shard)
            written += self._sink.finish()
            self.close()
        return written

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _open(self, shard: int) -> Sink:
        rows = self._all_rows
        if self._rows_per_shard is not None:
            rows = min(rows - shard * self._rows_per_shard, self._rows_per_shard)
        return self._open_shard(self._stems[shard], rows, {**self._before, **self._synced})

    def _end_shard(self) -> None:
        self.sync()
        self.close()


@frozen
class ShardRows:
    """The rows of one shard. stem: what the names of its files in the folder begin with. rows: how many it is
    to have. columns: as in the manifest. positions: those of an earlier run."""

    folder: Path
    stem: str
    rows: int
    columns: Mapping[str, str]
    positions: Positions


class ShardedFormat(FileFormat):
    """What formats share whose shards have sinks of their own."""

    @abstractmethod
    def shard(self, shard: ShardRows) -> Sink:
        """The sink of one shard."""

    def open(self, folder: Path, split: SplitRows, positions: Positions) -> Sink:
        def shard(stem: str, rows: int, positions: Positions) -> Sink:
            return self.shard(ShardRows(folder, stem, rows, split.columns, positions))

        return Shards(shard, split, positions)
