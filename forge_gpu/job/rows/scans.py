"""What the first pass found in JSON chunks by scanning them, kept for the second while it fits: a scan less.

Held in memory alone: a run that is resumed, or whose workers are other processes, scans again.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

from forge_gpu.io.chunks import JsonChunk
from forge_gpu.kernels.layout import U8, Records, Spans

U32 = npt.NDArray[np.uint32]

REACH = 2**32
"""Chunks below so many bytes have places of 32 bits."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """start, length: uint32[k + 1, n], kind: uint8[k + 1, n]: of the k columns, then of the records, whose
    kind is the reason. digest: of the records' bytes."""

    start: U32
    length: U32
    kind: U8
    digest: int


class KeptScans:
    """Of all chunks of a job, at most `budget_bytes`. Several threads may keep and find."""

    def __init__(self, budget_bytes: int) -> None:
        self._left = budget_bytes
        self._lock = Lock()
        self._kept: dict[tuple[int, int, int], _Kept] = {}

    def keep(self, file: int, chunk: JsonChunk, records: Records, digest: int) -> None:
        """Keep a copy, if there is room. file: the number of the chunk's file in the job."""
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
        self._kept[_key(file, chunk)] = _Kept(start, length, kind, digest)

    def find(self, file: int, chunk: JsonChunk, keys: tuple[str, ...]) -> tuple[Records, int] | None:
        """The records of a chunk by the same keys, and the digest they had; None where they were not kept."""
        kept = self._kept.get(_key(file, chunk))
        if kept is None:
            return None
        start, length, data = kept.start.astype(np.int64), kept.length.astype(np.int64), chunk.data
        *spans, record = zip(start, length, kept.kind, strict=True)
        columns = {key: Spans(data, *span) for key, span in zip(keys, spans, strict=True)}
        return Records(data, *record, columns), kept.digest


def _key(file: int, chunk: JsonChunk) -> tuple[int, int, int]:
    return file, chunk.offset, len(chunk.data)
