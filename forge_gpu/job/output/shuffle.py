"""A seeded shuffle of a split that fits in no memory: two steps, exact, the same for any budget.

While writing, each line goes to the bucket of its rank (rank x buckets // rows). At the end the buckets
are read one after the other, sorted by rank, and appended to the split. The order is the ranks' alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.growing import GrowingFile
from forge_gpu.kernels.layout import I64, Text

BUCKET_BYTES = 8 * 2**20
"""Wanted size of a bucket: one is in memory at a time, and once more in the order of its ranks."""

MOST_BUCKETS = 256
"""Each holds two open files; beyond 256 x 8 MiB a split buckets grow instead."""

PIECE_BYTES = 2**20
"""Lines that are put in order at once, where a bucket is not in memory."""


class Buckets:
    """The spilled lines of one split: a file of lines for each bucket, and one of (rank, length).

    positions: bytes of each file that an earlier run left and that are kept.
    """

    def __init__(
        self, folder: Path, split: str, rows: int, expected_bytes: int, positions: Mapping[str, int]
    ) -> None:
        self._rows = max(rows, 1)
        self.count = max(1, min(expected_bytes // BUCKET_BYTES, MOST_BUCKETS))

        def file(bucket: int, suffix: str) -> GrowingFile:
            path = folder / f"{split}-{bucket:04d}{suffix}{PARTIAL}"
            return GrowingFile(path, positions.get(path.name, 0))

        self._lines = [file(bucket, ".lines") for bucket in range(self.count)]
        self._ranks = [file(bucket, ".ranks") for bucket in range(self.count)]

    def append(self, lines: Text, rank: I64) -> None:
        """Add lines to the buckets of their ranks."""
        bucket = rank * self.count // self._rows
        order = np.argsort(bucket, kind="stable")
        edges = np.searchsorted(bucket[order], np.arange(self.count + 1))
        offsets, data = lines.offsets, lines.data.data
        lengths = np.diff(offsets)
        for number in np.flatnonzero(np.diff(edges)):
            chosen = order[edges[number] : edges[number + 1]]
            self._lines[number].write(b"".join(data[offsets[row] : offsets[row + 1]] for row in chosen))
            self._ranks[number].write(
                np.stack([rank[chosen], lengths[chosen]], axis=1).astype("<i8").tobytes()
            )

    def sync(self) -> dict[str, int]:
        """Bring what was written to the disk; bytes of each file there."""
        positions = {}
        for file in (*self._lines, *self._ranks):
            file.sync()
            positions[file.path.name] = file.position()
        return positions

    def close(self) -> None:
        """Close the files; they stay as they are."""
        for file in (*self._lines, *self._ranks):
            file.close()

    def in_order(self, room: int) -> Iterator[Iterator[Text]]:
        """The lines by rank, those of a bucket together. room: bytes of memory for one; the lines of a larger
        one are read one by one. Beside it, 48 bytes a row of a bucket."""
        for lines, ranks in zip(self._lines, self._ranks, strict=True):
            index = np.frombuffer(_content(ranks), "<i8").reshape(-1, 2)
            order = np.argsort(index[:, 0], kind="stable")
            begins = np.cumsum(index[:, 1]) - index[:, 1]
            begins, lengths = begins[order], index[order, 1]
            yield (
                _held(lines, begins, lengths)
                if 2 * lines.position() <= room
                else _read(lines, begins, lengths)
            )


def _held(lines: GrowingFile, begins: I64, lengths: I64) -> Iterator[Text]:
    """Lines in their order, all at once."""
    data = memoryview(_content(lines))
    yield _joined([data[begin : begin + length] for begin, length in _pairs(begins, lengths)])


def _read(lines: GrowingFile, begins: I64, lengths: I64) -> Iterator[Text]:
    """Lines in their order, read one by one, in pieces of about PIECE_BYTES."""
    held: list[bytearray] = []
    size = 0
    for begin, length in _pairs(begins, lengths):
        if held and size + length > PIECE_BYTES:
            yield _joined(held)
            held, size = [], 0
        held.append(lines.content(begin, length))
        size += length
    if held:
        yield _joined(held)


def _pairs(begins: I64, lengths: I64) -> Iterator[tuple[int, int]]:
    for at in range(0, len(begins), 65536):
        yield from zip(begins[at : at + 65536].tolist(), lengths[at : at + 65536].tolist(), strict=True)


def _joined(lines: Sequence[bytearray | memoryview]) -> Text:
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:])
    return Text(np.frombuffer(b"".join(lines), np.uint8), offsets)


def _content(file: GrowingFile) -> bytearray:
    return file.content(0, file.position())
