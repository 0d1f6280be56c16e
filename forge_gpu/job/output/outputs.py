"""The outputs of a job while they grow: pieces get their places in order, are noted once they are
written, and at last made files.

Rows of a split go to the sink of the plan's format; where they are shuffled, through buckets first. Rejected
rows have a sink of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from forge_gpu.fates import Fate, name
from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import (
    ColumnSink,
    Format,
    Sink,
    SplitRows,
    Written,
    is_written,
    placed,
)
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.events.stages import OnProgress, ignore_progress
from forge_gpu.job.output.result import REJECTED_FORMAT
from forge_gpu.job.output.shuffle import Buckets
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.packs.sink import Cut, PackingSink, Padding
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    import pyarrow as pa


@frozen
class Piece:
    """Rows of one fate, as lines, which need not begin where their buffer does, or as columns. rank: the
    place of each in its split where the output is shuffled."""

    fate: Fate
    rows: Text | pa.RecordBatch
    rank: I64 | None


class Outputs:
    """All files that rows are written to: each split, and the rejected rows.

    work: where shuffled lines wait. columns: of the splits, as in the manifest. counts: rows of each fate.
    packs: of splits whose rows are packed, how many packs there are, where they end and their padding; they
    are shuffled. expected_bytes: of all lines, about. positions, rows: what an earlier run left, by file
    and by fate. around: makes what takes the rows of a split of the sink of the format.
    """

    def __init__(
        self,
        folder: Path,
        work: Path,
        format: Format,
        columns: Mapping[str, str],
        counts: Mapping[Fate, int],
        rows_per_shard: int | None,
        packs: Mapping[Fate, tuple[int, Cut, Padding | None]],
        shuffled: bool,
        expected_bytes: int,
        positions: Mapping[str, int],
        rows: Mapping[Fate, int],
        around: Callable[[Sink], Sink] = lambda sink: sink,
    ) -> None:
        self._positions = dict(positions)
        self._sinks: dict[Fate, Sink] = {}
        self._buckets: dict[Fate, Buckets] = {}
        for split in SPLITS:
            if split == Fate.TEST and not counts[split]:
                continue
            stem, count = name(split), counts[split]
            if shuffled:
                share = expected_bytes * count // max(sum(counts.values()), 1)
                self._buckets[split] = Buckets(work, stem, count, share, positions)
                packed = packs.get(split)
                lines = count if packed is None else packed[0]
                sink = around(format.open(folder, SplitRows(stem, lines, rows_per_shard, columns), {}))
                self._sinks[split] = sink if packed is None else PackingSink(sink, columns, *packed[1:])
            else:
                split_rows = SplitRows(stem, count, rows_per_shard, columns, rows.get(split, 0))
                self._sinks[split] = around(format.open(folder, split_rows, positions))
        rejected = SplitRows(name(Fate.REJECTED), counts[Fate.REJECTED], None, {}, rows.get(Fate.REJECTED, 0))
        self._sinks[Fate.REJECTED] = format_of(REJECTED_FORMAT).open(folder, rejected, positions)

    def append(self, piece: Piece) -> Write:
        """Give rows their place, and what is left to write of them; see `PlacingSink.place`."""
        sink = self._sinks[piece.fate]
        if not isinstance(piece.rows, Text):
            return cast(ColumnSink, sink).place_columns(piece.rows)
        if piece.rank is None:
            return placed(sink, piece.rows)
        self._buckets[piece.fate].append(piece.rows, piece.rank)
        return is_written

    def begin_sync(self) -> None:
        """Have the disk take everything, without waiting for it."""
        for sink in self._sinks.values():
            sink.begin_sync()

    def sync(self) -> dict[str, int]:
        """Bring everything to the disk; the size of each unfinished file there."""
        self.begin_sync()  # so that the disk has all of it when the first is waited for
        for fate, sink in self._sinks.items():
            if fate not in self._buckets:
                self._positions.update(sink.sync())
        for buckets in self._buckets.values():
            self._positions.update(buckets.sync())
        return self._positions

    def finish(self, room: int, on_progress: OnProgress = ignore_progress) -> dict[Fate, list[Written]]:
        """Put shuffled lines in order, and make the files. room: bytes of memory for that. on_progress: hears
        how many buckets of how many are in order; it may raise to stop."""
        total = sum(buckets.count for buckets in self._buckets.values())
        done = 0
        for split, buckets in self._buckets.items():
            for bucket in buckets.in_order(room):
                on_progress(done, total)
                for lines in bucket:
                    self._sinks[split].append(lines)
                done += 1
        return {fate: sink.finish() for fate, sink in self._sinks.items()}

    def close(self) -> None:
        """Close what is open, after a failure too; the files stay as they are."""
        for sink in self._sinks.values():
            sink.close()
        for buckets in self._buckets.values():
            buckets.close()
