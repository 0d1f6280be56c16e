"""Candidate pairs of all bands: each once and in order, in memory or, where they are many, in a file."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import U64

BYTES_A_PAIR = 8

LEAST_ROOM = 1 << 12
"""Pairs; with fewer at once there would be too many runs."""

_LAST = np.uint64(2**64 - 1)


class Pairs:
    """Pairs as kernels.reference.union has them. Several threads may add at once.

    rows: bool[n], those that are in a pair. room_bytes: for pairs in memory; what is beyond goes, as sorted
    runs, to a file without a name in `folder` (None: the system's for temporary files), which is gone with
    the process. Pairs that come from several bands are held once, so a file is seldom needed.
    """

    def __init__(self, rows: int, room_bytes: int, folder: Path | None = None) -> None:
        self.rows: npt.NDArray[np.bool_] = np.zeros(rows, np.bool_)
        self._held = np.empty(max(room_bytes // BYTES_A_PAIR, LEAST_ROOM), np.uint64)
        self._count = 0
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._ends = [0]
        self._lock = threading.Lock()

    def add(self, pairs: U64) -> None:
        """Add some; they may be there already. Raises OSError where they cannot be written."""
        with self._lock:
            while len(pairs):
                if self._count == len(self._held):
                    self._make_room()
                taken = pairs[: len(self._held) - self._count]
                self._held[self._count : self._count + len(taken)] = taken
                self._count += len(taken)
                pairs = pairs[len(taken) :]

    def _settle(self) -> None:
        """Sort what is held, and drop repeats."""
        from forge_gpu.kernels.cpu.union import without_repeats

        held = self._held[: self._count]
        held.sort()
        self._count = without_repeats(held)
        self.rows[held[: self._count].view(np.uint32)] = True

    def _make_room(self) -> None:
        self._settle()
        if 2 * self._count > len(self._held):
            self._write()

    def _write(self) -> None:
        if self._file is None:
            from tempfile import TemporaryFile

            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115 (until `close`)
        self._file.write(self._held[: self._count].data)
        self._file.flush()
        self._ends.append(self._ends[-1] + self._count)
        self._count = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def in_order(self) -> Iterator[U64]:
        """All pairs, ascending and without repeats, in pieces; once, after the last is added."""
        self._settle()
        if self._file is None:
            yield self._held[: self._count]
            return
        self._write()
        most, self._held = len(self._held) // 2, self._held[:0].copy()  # of two pieces, the one being made
        words = np.frombuffer(mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ), np.uint64)
        yield from _merged([words[a:b] for a, b in pairwise(self._ends)], most)


def _merged(runs: Sequence[U64], most: int) -> Iterator[U64]:
    """The different words of sorted runs, ascending, about `most` at once at most."""
    from forge_gpu.kernels.cpu.union import without_repeats

    while runs:
        heads = [run[: max(most // len(runs), 1)] for run in runs]
        limit = min((h[-1] for h, run in zip(heads, runs, strict=True) if len(h) < len(run)), default=_LAST)
        cuts = [int(np.searchsorted(head, limit, side="right")) for head in heads]
        words = np.concatenate([head[:cut] for head, cut in zip(heads, cuts, strict=True)])
        words.sort()
        yield words[: without_repeats(words)]
        runs = [run[cut:] for run, cut in zip(runs, cuts, strict=True) if cut < len(run)]
