"""The output files of a job while they grow: lines are appended in order, noted, and at last named.

Everything is written as JSON lines first, in the order of the input. What needs another order (a
shuffle) or another format (Parquet) is made from those lines at the end, a bounded part at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forge_gpu.fates import Fate, name
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.sinks import JsonlSink, shard_names
from forge_gpu.job.output.shuffle import Buckets
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.kernels.layout import I64, Text

REJECTED_FILE = "rejected.jsonl"


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of one fate; they need not begin where their buffer does. rank: the place of each in its split
    where the output is shuffled."""

    fate: Fate
    lines: Text
    rank: I64 | None


class ShardedLines:
    """Lines in files of a fixed number of rows, one file open at a time.

    positions: bytes of each file that an earlier run left and that are kept; rows: how many rows they are.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        rows_per_shard: int | None,
        positions: Mapping[str, int],
        rows: int,
    ) -> None:
        self._paths = [folder / shard for shard in names]
        self._positions = {shard: positions.get(shard, 0) for shard in names}
        self._rows_per_shard = rows_per_shard
        self._shard, self._rows = 0, rows  # rows: in the present shard
        if rows_per_shard is not None and rows:
            self._shard, self._rows = divmod(rows - 1, rows_per_shard)
            self._rows += 1
        self._sink: JsonlSink | None = None

    def append(self, lines: Text) -> None:
        """Add lines, each to the shard its place belongs to."""
        begin = 0
        while begin < len(lines):
            if self._rows == self._rows_per_shard:
                self._end_shard()
                self._shard, self._rows = self._shard + 1, 0
            if self._sink is None:
                self._sink = self._open(self._paths[self._shard])
            room = len(lines) - begin if self._rows_per_shard is None else self._rows_per_shard - self._rows
            end = min(begin + room, len(lines))
            self._sink.write(lines.data[lines.offsets[begin] : lines.offsets[end]])
            self._rows += end - begin
            begin = end

    def begin_sync(self) -> None:
        """Have the disk take what was written, without waiting for it."""
        if self._sink is not None:
            self._sink.begin_sync()

    def sync(self) -> dict[str, int]:
        """Bring what was written to the disk; bytes of each file there."""
        if self._sink is not None:
            self._sink.sync()
            self._positions[self._sink.path.name] = self._sink.position()
        return self._positions

    def finish(self) -> list[Path]:
        """Give the files their names; a file without rows is empty."""
        self._end_shard()
        for path in self._paths:
            self._open(path).commit()
        return self._paths

    def close(self) -> None:
        """Close what is open; the files stay as they are."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _open(self, path: Path) -> JsonlSink:
        partial = path.with_name(path.name + PARTIAL)
        position = self._positions[path.name]
        if position and not partial.exists() and path.exists():
            path.rename(partial)  # an earlier run was killed while it gave the files their names
        return JsonlSink(path, position)

    def _end_shard(self) -> None:
        self.sync()
        self.close()


class Outputs:
    """All files that rows are written to: each split, and the rejected rows.

    work: where shuffled lines wait. counts: rows of each fate. expected_bytes: of all lines, about.
    positions, rows: what an earlier run left, by file and by fate.
    """

    def __init__(
        self,
        folder: Path,
        work: Path,
        counts: Mapping[Fate, int],
        rows_per_shard: int | None,
        shuffled: bool,
        expected_bytes: int,
        positions: Mapping[str, int],
        rows: Mapping[Fate, int],
    ) -> None:
        self._lines: dict[Fate, ShardedLines] = {}
        self._buckets: dict[Fate, Buckets] = {}
        for split in SPLITS:
            if split == Fate.TEST and not counts[split]:
                continue
            names = shard_names(name(split), ".jsonl", counts[split], rows_per_shard)
            if shuffled:
                share = expected_bytes * counts[split] // max(sum(counts.values()), 1)
                self._buckets[split] = Buckets(work, name(split), counts[split], share, positions)
                self._lines[split] = ShardedLines(folder, names, rows_per_shard, {}, 0)
            else:
                self._lines[split] = ShardedLines(
                    folder, names, rows_per_shard, positions, rows.get(split, 0)
                )
        self._lines[Fate.REJECTED] = ShardedLines(folder, [REJECTED_FILE], None, positions, 0)

    def append(self, piece: Piece) -> None:
        if piece.rank is not None:
            self._buckets[piece.fate].append(piece.lines, piece.rank)
        else:
            self._lines[piece.fate].append(piece.lines)

    def begin_sync(self) -> None:
        """Have the disk take everything, without waiting for it."""
        for lines in self._lines.values():
            lines.begin_sync()

    def sync(self) -> dict[str, int]:
        """Bring everything to the disk; the size of each file there."""
        positions: dict[str, int] = {}
        self.begin_sync()  # so that the disk has all of it when the first is waited for
        for fate, lines in self._lines.items():
            if fate not in self._buckets:
                positions.update(lines.sync())
        for buckets in self._buckets.values():
            positions.update(buckets.sync())
        return positions

    def finish(self) -> dict[Fate, list[Path]]:
        """Put shuffled lines in order, and give the files their names."""
        for split, buckets in self._buckets.items():
            for lines in buckets.in_order():
                self._lines[split].append(lines)
        return {fate: lines.finish() for fate, lines in self._lines.items()}

    def close(self) -> None:
        """Close what is open, after a failure too; the files stay as they are."""
        for lines in self._lines.values():
            lines.close()
        for buckets in self._buckets.values():
            buckets.close()
