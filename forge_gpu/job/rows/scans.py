"""Where the first pass found the records of JSON chunks, held for the second while it fits: a scan less.

An engine on a device holds the bytes as well (engine/held.py): then there is nothing to be read either. Held
in memory alone: a run that is resumed, or whose workers are other processes, scans again.
"""

from __future__ import annotations

from threading import Lock
from typing import Literal

import numpy as np
import numpy.typing as npt

from forge_gpu.io.chunks import JsonChunk
from forge_gpu.kernels.layout import U8, Records, Spans
from forge_gpu.plain import frozen

U32 = npt.NDArray[np.uint32]

REACH = 2**32
"""Chunks below so many bytes have places of 32 bits."""


@frozen
class _Scan:
    """start, length: uint32[k + 1, n], kind: uint8[k + 1, n]: of the k columns, then of the records, whose
    kind is the reason. digest: of the records' bytes."""

    start: U32
    length: U32
    kind: U8
    digest: int


@frozen
class Found:
    """What the first pass found of a chunk that an engine holds on its device: its place in its file, the
    digest of its records, its lines."""

    form: Literal["lines", "array"]
    offset: int
    size: int
    digest: int
    lines: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class DeviceChunk(JsonChunk):
    """A chunk that lies on an engine's device, with its records: nothing of it has to be read. Its bytes come
    to the host when they are asked for."""

    __slots__ = ("found", "records")

    found: Found
    records: Records

    def __init__(self, found: Found, records: Records) -> None:
        values = {"form": found.form, "offset": found.offset, "truncated": False, "whole": None}
        for name, value in {**values, "found": found, "records": records}.items():
            object.__setattr__(self, name, value)

    @property
    def data(self) -> U8:
        return self.records.data

    @property
    def end(self) -> int:
        return self.found.end

    @property
    def size(self) -> int:
        return self.found.size

    def lines(self, records: Records) -> int:
        return self.found.lines


class HeldScans:
    """Of all chunks of a job, at most `budget` bytes. Several threads may hold and find."""

    def __init__(self, budget: int) -> None:
        self.budget = self._left = budget
        self._lock = Lock()
        self._held: dict[tuple[int, int, int], _Scan] = {}

    def hold(self, file: int, chunk: JsonChunk, records: Records, digest: int) -> None:
        """Hold a copy, if there is room. file: the number of the chunk's file in the job."""
        columns = records.columns.values()
        shape = len(columns) + 1, len(records)
        size = 9 * shape[0] * shape[1]
        with self._lock:
            if len(chunk.data) >= REACH or size > self._left:
                return
            self._left -= size
        start, length, kind = (
            np.empty(shape, np.uint32),
            np.empty(shape, np.uint32),
            np.empty(shape, np.uint8),
        )
        for k, column in enumerate(columns):
            start[k], length[k], kind[k] = column.start, column.length, column.kind
        start[-1], length[-1], kind[-1] = records.start, records.length, records.reason
        self._held[_key(file, chunk)] = _Scan(start, length, kind, digest)

    def find(self, file: int, chunk: JsonChunk, keys: tuple[str, ...]) -> tuple[Records, int] | None:
        """The records of a chunk by the same keys, and the digest they had; None where they are not held."""
        scan = self._held.get(_key(file, chunk))
        if scan is None:
            return None
        start, length, data = scan.start.astype(np.int64), scan.length.astype(np.int64), chunk.data
        *spans, record = zip(start, length, scan.kind, strict=True)
        columns = {key: Spans(data, *span) for key, span in zip(keys, spans, strict=True)}
        return Records(data, *record, columns), scan.digest


def _key(file: int, chunk: JsonChunk) -> tuple[int, int, int]:
    return file, chunk.offset, len(chunk.data)
