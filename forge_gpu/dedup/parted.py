"""Rows of a band by ranges of their hash: in memory or, if they are many, in a file that is read by parts."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from forge_gpu.kernels.layout import I64, U64
from forge_gpu.kernels.reference.union import U32
from forge_gpu.plain import frozen

BYTES_A_ROW = 24
"""Peak of a part whose pairs are made: hash and number, and their copies or the sorted words."""

_BYTES_WRITTEN = 48
"""The same of rows that are put in the order of their parts and written."""

_LEAST_ROWS = 1024
"""Of a part: fewer would save nothing."""

_MOST_BITS = 16
"""Of a part's number, so that rows are put in order by counting."""


@frozen
class _Run:
    """Rows in the file, in the order of their parts: hashes and behind them numbers, from byte `at` on.
    bounds: int64[parts + 1], where each part begins among them."""

    at: int
    bounds: I64


class PartedRows:
    """Hashes and their rows, in parts by the upper bits of the hash. No part has many more rows than fit in
    `room_bytes` at BYTES_A_ROW each, unless very many have one hash.

    rows: how many there will be. folder: of the file, which has no name and is gone with the process; None:
    the system's for temporary files. Each row takes 12 bytes there.
    """

    def __init__(self, rows: int, room_bytes: int, folder: Path | None = None) -> None:
        most = max(room_bytes // BYTES_A_ROW, _LEAST_ROWS)
        self._bits = min((-(-rows // most) - 1).bit_length(), _MOST_BITS) if rows else 0
        self._most = max(room_bytes // _BYTES_WRITTEN, _LEAST_ROWS)
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._runs: list[_Run] = []
        self._held: list[tuple[U64, U32]] = []
        self._count = 0  # of the rows that are held

    def add(self, hashes: U64, rows: U32) -> None:
        """Add some, behind those before. Raises OSError where they cannot be written."""
        self._held.append((hashes, rows))
        self._count += len(hashes)
        if self._bits and self._count >= self._most:
            self._write()

    def parts(self) -> Iterator[tuple[U64, U32]]:
        """All rows, a part at a time, each in the order in which they were added; once, after the last."""
        if self._file is None:
            yield self._taken()
            return
        self._write()
        file = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        for part in range(1 << self._bits):
            hashes, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)]
            for run in self._runs:
                begin, end, count = map(int, (*run.bounds[part : part + 2], run.bounds[-1]))
                if begin < end:
                    hashes.append(np.frombuffer(file, np.uint64, end - begin, run.at + 8 * begin))
                    rows.append(np.frombuffer(file, np.uint32, end - begin, run.at + 8 * count + 4 * begin))
            yield np.concatenate(hashes), np.concatenate(rows)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _taken(self) -> tuple[U64, U32]:
        """What is held, as one; nothing is held any more."""
        hashes, rows = zip(*self._held, strict=True) if self._held else ((), ())
        self._held, self._count = [], 0
        return np.concatenate([np.zeros(0, np.uint64), *hashes]), np.concatenate(
            [np.zeros(0, np.uint32), *rows]
        )

    def _write(self) -> None:
        if self._file is None:
            from tempfile import TemporaryFile

            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115 (until `close`)
        hashes, rows = self._taken()
        part = (hashes >> np.uint64(64 - self._bits)).astype(np.uint16)
        order = np.argsort(part, kind="stable")  # which counts, of so few bits
        bounds = np.concatenate(([0], np.cumsum(np.bincount(part, minlength=1 << self._bits))))
        self._runs.append(_Run(self._file.tell(), bounds))
        self._file.write(hashes[order].data)
        self._file.write(rows[order].data)
        self._file.flush()
