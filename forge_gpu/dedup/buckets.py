"""The candidate pairs of one band: rows that agree in it share a bucket (see kernels.reference.union)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from forge_gpu.hardware import shares
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.kernels.reference.union import U32, Part

ReadPieces = Callable[[], Iterable[U64]]
"""Gives a band's hashes of all rows in row order, in pieces of uint64[m]; called anew for each pass."""

SPARSE = 3
"""A bitmap has 2**SPARSE to twice as many bits a row: about one row in so many is sorted without need."""

BYTES_A_ROW = 24
"""Peak of sorting rows that may share a bucket: hash and number, and their copies or the sorted words."""

PAIRS_AT_ONCE = 1 << 16

_LEAST_ROWS = 1024
"""Of a part: fewer would save nothing."""


def pairs_of_band(read: ReadPieces, live: U8, room_bytes: int) -> Iterator[U64]:
    """All pairs of the band, in pieces of about PAIRS_AT_ONCE at most, in no set order but without repeats.

    live: uint8[n], 0 for rows that are in no bucket. The band is read twice: to mark its hashes in bitmaps,
    and to gather what may meet. Where one of them takes more than its share of `room_bytes` hashes are worked
    on by parts, each a pass. Memory: `room_bytes`, or what one bucket needs if that is more: BYTES_A_ROW.
    """
    from forge_gpu.kernels.cpu.union import bucket_pairs

    part_bits = marks_in_parts(len(live), room_bytes)
    for number in range(1 << part_bits):
        part = Part(number, part_bits, part_bits)
        marks, meeting = _marked(read, live, part)
        finer = _parted(meeting, shares.MEETING.of(room_bytes) // BYTES_A_ROW)
        for inner in range(1 << finer):
            inside = Part(number << finer | inner, part_bits + finer, part_bits)
            yield from bucket_pairs(*_gathered(read, live, inside, marks), PAIRS_AT_ONCE)


def marks_in_parts(rows: int, room_bytes: int) -> int:
    """By how many upper bits hashes are parted for the bitmaps of each part to fit their share."""
    mark_bits = max(4 * shares.MARKS.of(room_bytes), 1).bit_length() - 1  # of the number of a mark
    return _parted(rows, 1 << max(mark_bits - SPARSE, 0))


def _parted(rows: int, most: int) -> int:
    """By how many bits so many rows are parted for no part to have many more than `most`, or _LEAST_ROWS."""
    return (-(-rows // max(most, _LEAST_ROWS, 1)) - 1).bit_length() if rows else 0


def _bits_of(rows: int) -> int:
    return max(rows - 1, 1).bit_length()


def _marked(read: ReadPieces, live: U8, part: Part) -> tuple[U64, int]:
    """The marks of a part's rows, and how many of them may meet another."""
    from forge_gpu.kernels.cpu.union import mark

    bits = max(_bits_of(len(live)) - part.bits + SPARSE, 6)
    marks = np.zeros((1 << (bits - 6), 2), np.uint64)
    came = sum(mark(hashes, alive, part, marks) for hashes, alive, _ in _with_live(read(), live))
    return marks, came + int(np.bitwise_count(marks[:, 1]).sum())


def _gathered(read: ReadPieces, live: U8, part: Part, marks: U64) -> tuple[U64, U32]:
    from forge_gpu.kernels.cpu.union import gather

    pieces = [gather(hashes, alive, row, part, marks) for hashes, alive, row in _with_live(read(), live)]
    hashes = np.concatenate([np.zeros(0, np.uint64), *(piece[0] for piece in pieces)])
    return hashes, np.concatenate([np.zeros(0, np.uint32), *(piece[1] for piece in pieces)])


def _with_live(pieces: Iterable[U64], live: U8) -> Iterator[tuple[U64, U8, int]]:
    """Each piece, which of its rows are live, and the number of the first."""
    start = 0
    for piece in pieces:
        yield piece, live[start : start + len(piece)], start
        start += len(piece)
