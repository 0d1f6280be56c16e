"""The candidate pairs of one band: rows that agree in it share a bucket (see kernels.reference.union)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from forge_gpu.dedup.parted import PartedRows
from forge_gpu.hardware import shares
from forge_gpu.kernels.layout import U8, U64

ReadPieces = Callable[[], Iterable[U64]]
"""Gives a band's hashes of all rows in row order, in pieces of uint64[m]; called anew for each pass."""

SPARSE = 3
"""A bitmap has 2**SPARSE to twice as many bits a row, or as many as fit: about one row in so many is then
sorted without need."""

PAIRS_AT_ONCE = 1 << 16


def pairs_of_band(read: ReadPieces, live: U8, room_bytes: int, folder: Path | None = None) -> Iterator[U64]:
    """All pairs of the band, in pieces of about PAIRS_AT_ONCE at most, in no set order but without repeats.

    live: uint8[n], 0 for rows that are in no bucket. The band is read twice, however many rows it has: to
    mark its hashes in a bitmap, and to gather what may meet, which waits in `folder` where it takes more than
    its share of `room_bytes` (see PartedRows). Memory: `room_bytes`, or what one bucket needs if that is
    more. Raises OSError where the disk does not take what waits.
    """
    from forge_gpu.kernels.cpu.union import bucket_pairs, gather

    marks, meeting = _marked(_with_live(read(), live), len(live), shares.MARKS.of(room_bytes))
    with closing(PartedRows(meeting, shares.MEETING.of(room_bytes), folder)) as parted:
        for hashes, alive, row in _with_live(read(), live):
            parted.add(*gather(hashes, alive, row, marks))
        for part in parted.parts():
            yield from bucket_pairs(*part, PAIRS_AT_ONCE)


def _marked(pieces: Iterable[tuple[U64, U8, int]], rows: int, room_bytes: int) -> tuple[U64, int]:
    """The marks of live rows, in a bitmap of `room_bytes` at most, and how many of them may meet another."""
    from forge_gpu.kernels.cpu.union import mark

    wanted, most = max(rows - 1, 1).bit_length() + SPARSE, max(4 * room_bytes, 1).bit_length() - 1
    marks = np.zeros((1 << (max(min(wanted, most), 6) - 6), 2), np.uint64)
    came = sum(mark(hashes, alive, marks) for hashes, alive, _ in pieces)
    return marks, came + int(np.bitwise_count(marks[:, 1]).sum())


def _with_live(pieces: Iterable[U64], live: U8) -> Iterator[tuple[U64, U8, int]]:
    """Each piece, which of its rows are live, and the number of the first."""
    start = 0
    for piece in pieces:
        yield piece, live[start : start + len(piece)], start
        start += len(piece)
