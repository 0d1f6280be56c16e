"""The GPU engine: the kernels of `kernels/cuda` over one device; what needs a scan is done on the host.

JSON is scanned by the CPU's kernels. A chunk's bytes go to the device once, with the spans that each call is
about; texts that are made there stay there, and come to the host when their bytes are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from forge_gpu.engine.base import Engine, RowGroups
from forge_gpu.engine.gpu.arrays import DeviceArrays
from forge_gpu.engine.gpu.cudf_adapter import TextBlock
from forge_gpu.engine.gpu.device import ChunkDevice
from forge_gpu.engine.lazy import LazySpans, LazyText
from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.cuda import dedup, hashing, minhash, render, statistics
from forge_gpu.kernels.cuda.utf8 import valid_utf8
from forge_gpu.kernels.layout import (
    I32,
    I64,
    PADDING,
    U8,
    U64,
    Messages,
    ProgramTable,
    Records,
    Spans,
    Text,
    spans_of_offsets,
)
from forge_gpu.kernels.reference.minhash import Signing
from forge_gpu.kernels.reference.statistics import Statistics

LEAST_ROWS = 256
"""Calls about fewer rows are done on the host, which is done before a device has started."""


class ParquetDecoder(Protocol):
    """What decodes Parquet on the device (see `cudf_adapter.CudfParquet`)."""

    def takes(self, codecs: Collection[str]) -> bool: ...

    def texts(
        self,
        content: Path | bytes,
        groups: Sequence[int],
        columns: Sequence[str],
        room: Callable[[int], Any],
    ) -> Mapping[str, TextBlock]: ...


class GpuEngine:
    """See `engine.base.Engine`. What it returns is on the host, or comes there by itself (LazyText).

    decoder: None where Parquet is for the host. room_bytes: of the device, for a decision.
    """

    name = "gpu"

    def __init__(
        self,
        device: ChunkDevice,
        host: Engine,
        least_rows: int = LEAST_ROWS,
        decoder: ParquetDecoder | None = None,
        room_bytes: int = 1 << 28,
    ) -> None:
        self._device = device
        self._host = host
        self._least_rows = least_rows
        self._decoder = decoder
        self._arrays = DeviceArrays(device, room_bytes)

    def scan(self, data: U8, form: str, keys: Sequence[str], max_row_bytes: int) -> Records:
        self._device.forget()  # the memory of the chunk before may hold another one now
        return self._host.scan(data, form, keys, max_row_bytes)

    def messages(self, column: Spans, roles: Sequence[str], role_key: str, content_key: str) -> Messages:
        return self._host.messages(column, roles, role_key, content_key)

    def text(self, column: Spans) -> Text:
        if len(column) < self._least_rows:
            return self._host.text(column)
        with self._device:
            return self._lazy(render.decode(_bytes_there(column), self._device))

    def render(
        self,
        table: ProgramTable,
        program: I32,
        columns: Sequence[Spans],
        rows: I64,
        encoding: int,
        first: I64 | None = None,
    ) -> Text:
        if len(rows) < self._least_rows:
            return self._host.render(table, program, columns, rows, encoding, first)
        there = [_bytes_there(column) for column in columns]
        with self._device:
            return self._lazy(render.render(table, program, there, rows, encoding, first, self._device))

    def keep(self, text: Text) -> Text:
        return self.own(text)

    def own(self, text: Text) -> Text:
        return Text(text.data.copy(), text.offsets.copy())

    def release_result(self) -> None:
        """What was kept has memory of its own."""

    def hash128(self, text: Text) -> U64:
        if len(text) < self._least_rows:
            return self._host.hash128(text)
        with self._device:
            hashes: U64 = self._device.download(hashing.xxh3_128(_there(text), self._device))
            return hashes

    def hash64(self, text: Text, seed: int) -> U64:
        if len(text) < self._least_rows:
            return self._host.hash64(text, seed)
        with self._device:
            hashes: U64 = self._device.download(hashing.xxh3_64(_there(text), seed, self._device))
            return hashes

    def band_hashes(self, text: Text, signing: Signing) -> U64:
        if len(text) < self._least_rows:
            return self._host.band_hashes(text, signing)
        there = _there(text)
        with self._device:
            made = minhash.band_hashes(there.data, there.offsets, *signing, self._device)
            hashes: U64 = self._device.download(made)
            return hashes

    def statistics(self, text: Text, repetition: bool) -> Statistics:
        if len(text) < self._least_rows:
            return self._host.statistics(text, repetition)
        with self._device:
            result = statistics.text_statistics(_there(text), self._device, repetition)
            return Statistics(*map(self._device.download, result))

    def valid_utf8(self, column: Spans) -> U8:
        if not isinstance(column, LazySpans) or len(column) < self._least_rows:
            return self._host.valid_utf8(column)  # it is done there before its bytes were on the device
        with self._device:
            valid: U8 = self._device.download(valid_utf8(_bytes_there(column), self._device))
            return valid

    def parquet_texts(self, row_groups: RowGroups) -> tuple[int, dict[str, Spans] | None]:
        count, rows = len(row_groups.groups), sum(row_groups.rows)
        if self._decoder is None or rows < self._least_rows or not self._decoder.takes(row_groups.codecs):
            return count, None
        with self._device:
            blocks = self._decoder.texts(
                row_groups.content, row_groups.groups, row_groups.columns, self._device.bytes
            )
        return count, {name: self._spans(name, blocks[name], rows) for name in row_groups.columns}

    def first_occurrence(self, hashes: U64, live: U8) -> I64:
        if len(live) < self._least_rows:
            return self._host.first_occurrence(hashes, live)
        with self._device:
            rows: I64 = self._device.download(dedup.first_occurrence(hashes, live, self._device))
            return rows

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        if rows < self._least_rows:
            return self._host.decided(work, rows)
        with self._device:
            return work(self._arrays)

    def memory(self) -> int:
        return self._host.memory()

    def _spans(self, name: str, block: TextBlock, rows: int) -> LazySpans:
        """A decoded column. Raises RuntimeError where it is not what it should be."""
        offsets = block.offsets
        if len(offsets) != rows + 1:
            raise RuntimeError(f"column {name!r} was decoded to {len(offsets) - 1} rows instead of {rows}")
        if offsets[0] != 0 or offsets[-1] != len(block.data) or (offsets[1:] < offsets[:-1]).any():
            raise RuntimeError(f"column {name!r} was decoded to offsets that do not fit its bytes")
        spans = spans_of_offsets(np.zeros(0, np.uint8), offsets, block.valid)
        return LazySpans(block.data, spans.start, spans.length, spans.kind, self._fetch)

    def _fetch(self, column: LazySpans) -> U8:
        with self._device:
            data: U8 = self._device.download(column.source)
            return data

    def _lazy(self, text: Text) -> LazyText:
        """The offsets come behind the bytes, so when they are here the device has written both."""
        offsets: I64 = self._device.download(text.offsets)

        def fetch() -> U8:
            with self._device:
                data: U8 = self._device.download(text.data[: int(offsets[-1])])
            return _padded(data)

        return LazyText(offsets, text, fetch)


def _there(text: Text) -> Text:
    """A text where it is: on the device, if it was made there."""
    return text.source if isinstance(text, LazyText) else text


def _bytes_there(column: Spans) -> Spans:
    """A column with its bytes where they are."""
    if isinstance(column, LazySpans):
        return Spans(column.source, column.start, column.length, column.kind)
    return column


def _padded(data: U8) -> U8:
    """The bytes with PADDING behind them, as layout.Text has it; the device leaves room for that."""
    room = data.base
    if (
        isinstance(room, np.ndarray)
        and room.dtype == np.uint8
        and room.ctypes.data == data.ctypes.data
        and len(room) >= len(data) + PADDING
    ):
        return room[: len(data) + PADDING]
    return np.concatenate([data, np.zeros(PADDING, np.uint8)])
