"""Engines with faults, at the seam that every engine has: a call, and the memory it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forge_gpu.engine.base import RowGroups
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu.arrays import DeviceArrays
from forge_gpu.engine.held import HeldChunks
from forge_gpu.engine.lazy import LazySpans, LazyText
from forge_gpu.engine.marked import Unmarked
from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.layout import I32, I64, U8, U64, ProgramTable, Spans, Text, spans_of_offsets
from forge_gpu.kernels.reference.minhash import Signing
from forge_gpu.kernels.reference.statistics import Judged
from tests.kernels.host_device import DeviceLost, HostDevice
from tests.kernels.simulated_parquet import SimulatedParquet


class Allocator:
    """Grants up to `limit` bytes at once, and nothing any more after `calls` grants.

    budget, peak, held: as a pool has them.
    """

    def __init__(self, limit: int | None = None, calls: int | None = None) -> None:
        self.limit = limit
        self.calls = calls
        self.granted = 0
        self.budget = limit or 0
        self.peak = 0
        self.held = HeldChunks()

    def grant(self, size: int) -> None:
        if self.calls is not None and self.granted >= self.calls:
            raise DeviceLost("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure\nmore of it")
        if self.limit is not None and size > self.limit:
            raise MemoryError(f"std::bad_alloc: out_of_memory: {size} of {self.limit} bytes")
        self.granted += 1
        self.peak = max(self.peak, size)


class FaultyEngine(CpuEngine):
    """An engine like the GPU's, with the CPU's kernels: it asks its allocator for the bytes of each call, and
    keeps its texts "on the device" until they are fetched."""

    name = "gpu"

    def __init__(self, allocator: Allocator, decoder: SimulatedParquet | None = None) -> None:
        super().__init__()
        self._allocator = allocator
        self._decoder = decoder or SimulatedParquet()

    def text(self, column: Spans) -> Text:
        self._allocator.grant(len(column.data))
        return self._away(super().text(column))

    def render(
        self,
        table: ProgramTable,
        program: I32,
        columns: Sequence[Spans],
        rows: I64,
        encoding: int,
        first: I64 | None = None,
    ) -> Text:
        self._allocator.grant(sum({id(column.data): len(column.data) for column in columns}.values()))
        return self._away(super().render(table, program, columns, rows, encoding, first))

    def valid_utf8(self, column: Spans) -> U8:
        self._allocator.grant(len(column.data))
        return super().valid_utf8(column)

    def hash128(self, text: Text) -> U64:
        return super().hash128(self._there(text))

    def hash64(self, text: Text, seed: int) -> U64:
        return super().hash64(self._there(text), seed)

    def band_hashes(self, text: Text, signing: Signing) -> U64:
        return super().band_hashes(self._there(text), signing)

    def unmark(self, text: Text) -> Unmarked:
        return super().unmark(self._there(text))

    def judge(self, column: Spans, limit: float | None) -> Judged:
        self._allocator.grant(len(column.data))
        return super().judge(column, limit)

    def parquet_texts(self, required: RowGroups) -> tuple[int, dict[str, Spans] | None]:
        blocks = self._decoder.texts(required.content, required.groups, required.columns, self._room)
        result: dict[str, Spans] = {}
        for name, block in blocks.items():
            if len(block.offsets) != sum(required.rows) + 1:
                raise RuntimeError("other rows than were asked for")
            spans = spans_of_offsets(block.data, block.offsets, block.valid)
            result[name] = LazySpans(block.data, spans.start, spans.length, spans.kind, self._fetch)
        return len(required.groups), result

    def first_occurrence(self, hashes: U64, live: U8) -> I64:
        self._allocator.grant(hashes.nbytes)
        return super().first_occurrence(hashes, live)

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        self._allocator.grant(8 * rows)
        return work(DeviceArrays(HostDevice(), 1 << 20))

    def _room(self, size: int) -> U8:
        self._allocator.grant(size)
        return np.zeros(size, np.uint8)

    def _fetch(self, column: LazySpans) -> U8:
        self._allocator.grant(0)
        data: U8 = column.source.copy()
        return data

    def _there(self, text: Text) -> Text:
        self._allocator.grant(int(text.offsets[-1]) - int(text.offsets[0]))
        return text.source if isinstance(text, LazyText) else text

    def _away(self, text: Text) -> LazyText:
        retained = Text(text.data.copy(), text.offsets.copy())

        def fetch() -> U8:
            self._allocator.grant(0)
            return np.array(retained.data)

        return LazyText(retained.offsets, retained, fetch)
