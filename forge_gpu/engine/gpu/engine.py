"""The GPU engine: the kernels of `kernels/cuda` over one device; what needs a scan is done on the host.

JSON is scanned by the CPU's kernels, or on the device as long as it holds all of a job; message lists in it
are flattened where their bytes are. A chunk's bytes and spans go to the device once, and stay there from one
pass to the next while there is room; texts that are made there stay there, and come to the host when their
bytes are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from forge_gpu.engine.base import Engine, RowGroups
from forge_gpu.engine.gpu import structure, tokens
from forge_gpu.engine.gpu.arrays import DeviceArrays
from forge_gpu.engine.gpu.cudf_adapter import TextBlock
from forge_gpu.engine.gpu.device import ChunkDevice
from forge_gpu.engine.halving import out_of_memory
from forge_gpu.engine.held import Column, HeldChunk, HeldChunks, own_messages
from forge_gpu.engine.lazy import LazyRecords, LazySpans, LazyText, here
from forge_gpu.engine.marked import Unmarked
from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.cuda import dedup, hashing, minhash, render, sets, statistics, union
from forge_gpu.kernels.cuda.device import DeviceSpans
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
from forge_gpu.kernels.reference.shingles import U32
from forge_gpu.kernels.reference.statistics import Judged, Statistics, judged
from forge_gpu.kernels.reference.union import F64

if TYPE_CHECKING:
    from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered

LEAST_ROWS = 256
"""Calls about fewer rows are done on the host, which is done before a device has started."""

ROWS_A_PAIR = 32
"""With more rows for each pair that is joined, the host has joined them before its arrays have gone up and
come down: it takes 40 ns a pair, and the way of a row 1 or 2."""


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

    decoder: None where Parquet is for the host. room_bytes: of the device, for a decision, and for the
    working memory of templates that are code. chunks: what the
    engines of the device hold; None where they hold nothing.
    """

    name = "gpu"

    def __init__(
        self,
        device: ChunkDevice,
        host: Engine,
        least_rows: int = LEAST_ROWS,
        decoder: ParquetDecoder | None = None,
        room_bytes: int = 1 << 28,
        chunks: HeldChunks | None = None,
    ) -> None:
        self._device = device
        self._host = host
        self._least_rows = least_rows
        self._decoder = decoder
        self._arrays = DeviceArrays(device, room_bytes)
        self._room_bytes = room_bytes
        self._chunks = chunks
        self._chunk: HeldChunk | None = None  # the one that calls are about, as far as it is on the device

    def scan(self, data: U8, form: str, keys: Sequence[str], max_row_bytes: int) -> Records:
        """The bytes go up while the host scans them; then the spans, once for all calls about the chunk."""
        self._chunk = None
        self._device.forget()  # the memory of the chunk before may hold another one now
        with self._device:
            source = self._there_if_it_fits(lambda: self._device.resident(data)[: len(data)])
            scanned = None
            if source is not None and form == "lines" and self._holds_all:
                scanned = self._there_if_it_fits(
                    lambda: structure.records_of(
                        data, source, tuple(dict.fromkeys(keys)), max_row_bytes, self._device, self._host
                    )
                )
            records, columns = scanned or (self._host.scan(data, form, keys, max_row_bytes), None)
            if source is None or len(records) < self._least_rows:
                self._device.settle()
                return records
            if columns is None:
                columns = {name: self._column(spans) for name, spans in records.columns.items()}
            rows = Column(records.start, records.length, records.reason, None)
            self._chunk = HeldChunk(source, rows, columns)
            self._device.settle()  # the next chunk may be read into the same memory
        whole = rows.over(source, self._fetch, records.data)
        spans: dict[str, Spans] = {
            name: column.over(source, self._fetch, records.data) for name, column in columns.items()
        }
        return LazyRecords(whole, records.reason, spans)

    @property
    def _holds_all(self) -> bool:
        """Whether every chunk so far is still on the device: only then it scans too, as what is let go of is
        read and scanned again, which the host does while the device has other work."""
        return self._chunks is not None and self._chunks.let_go == 0

    def pin(self, memory: bytearray) -> Callable[[], None]:
        with self._device:
            return self._device.pin(memory)

    def hold(self, key: Hashable, records: Records, note: Any, host_room: int) -> None:
        chunk = self._chunk
        if self._chunks is None or chunk is None or not isinstance(records, LazyRecords):
            return
        columns = {name: column.copy() for name, column in chunk.columns.items()}
        held = HeldChunk(chunk.source, chunk.rows.copy(), columns, chunk.messages, note)
        self._chunks.hold(key, held, host_room)

    def held(self, key: Hashable) -> HeldChunk | None:
        return None if self._chunks is None else self._chunks.find(key)

    def take_up(self, chunk: HeldChunk, again: Callable[[BaseException], U8]) -> Records:
        def fetch(column: LazySpans) -> U8:
            try:
                return self._fetch(column)
            except Exception as error:
                return again(error)[column.begin : column.begin + column.size]

        self._device.forget()
        self._chunk = chunk
        return chunk.records(fetch)

    def messages(self, column: Spans, roles: Sequence[str], role_key: str, content_key: str) -> Messages:
        """Those of a column of the chunk are found once: in the next pass they are where they were."""
        if not isinstance(column, LazySpans) or self._is_for_host(len(column), [column]):
            return self._host.messages(column, roles, role_key, content_key)
        name = self._name_of(column)
        known = {} if name is None or self._chunk is None else self._chunk.messages
        key = name or "", (tuple(roles), role_key, content_key)
        if key not in known:
            with self._device:
                known[key] = self._found(column, roles, role_key, content_key)
        made, contents = known[key]
        content = column.over(contents.start, contents.length, contents.kind)
        content.places = contents.places
        return replace(own_messages(made), content=content)

    def _found(
        self, column: LazySpans, roles: Sequence[str], role_key: str, content_key: str
    ) -> tuple[Messages, Column]:
        """Messages of a column, in memory of their own; by the host where the device has no room."""
        found: tuple[Messages, Column] | None = self._there_if_it_fits(
            lambda: structure.messages_of(column, roles, role_key, content_key, self._device, self._host)
        )
        if found is not None:
            return found
        made = own_messages(self._host.messages(column, roles, role_key, content_key))
        return made, self._column(made.content).copy()

    def text(self, column: Spans) -> Text:
        if self._is_for_host(len(column), [column]):
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
        if self._is_for_host(len(rows), columns):
            return self._host.render(table, program, columns, rows, encoding, first)
        there = [_bytes_there(column) for column in columns]
        with self._device:
            return self._lazy(render.render(table, program, there, rows, encoding, first, self._device))

    def run_code(self, machine: Machine, columns: Sequence[Spans], rows: I64) -> Rendered:
        if self._is_for_host(len(rows), columns):
            return self._host.run_code(machine, columns, rows)
        from forge_gpu.engine.gpu import code  # most jobs never need its kernels

        there = [_bytes_there(column) for column in columns]
        with self._device:
            return code.run(machine, columns, there, rows, self._device, self._room_bytes, self._fetch)

    def keep(self, text: Text) -> Text:
        return here(text) or self._host.keep(text)

    def own(self, text: Text) -> Text:
        return here(text) or self._host.own(text)

    def release_result(self) -> None:
        self._host.release_result()

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

    def unmark(self, text: Text) -> Unmarked:
        if len(text) < self._least_rows or not isinstance(text, LazyText):
            return self._host.unmark(text)
        with self._device:
            return tokens.unmark(text.source, self._device)

    def judge(self, column: Spans, limit: float | None) -> Judged:
        if len(column) < self._least_rows:
            return self._host.judge(column, limit)
        text = self.text(column)
        with self._device:
            result = statistics.text_statistics(_there(text), self._device, limit is not None)
            return judged(Statistics(*map(self._device.download, result)), limit)

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
            decode = partial(
                self._decoder.texts,
                row_groups.content,
                row_groups.groups,
                row_groups.columns,
                self._device.bytes,
            )
            blocks = decode() if self._chunks is None else self._chunks.in_room(decode)
        return count, {name: self._spans(name, blocks[name], rows) for name in row_groups.columns}

    def first_occurrence(self, hashes: U64, live: U8) -> I64:
        if len(live) < self._least_rows:
            return self._host.first_occurrence(hashes, live)
        with self._device:
            rows: I64 = self._device.download(dedup.first_occurrence(hashes, live, self._device))
            return rows

    def shared_shingles(
        self, texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32
    ) -> tuple[I64, I64] | None:
        if len(pairs) < self._least_rows and not any(isinstance(text, LazyText) for text in texts):
            return None
        there = [Text(_there(text).data, text.offsets) for text in texts]
        with self._device:
            made = sets.shared_shingles(there, pairs, kind, n, fold, self._device)
            shared, both = map(self._device.download, made)
            return shared, both

    def united(
        self, parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64
    ) -> tuple[I64, I64, F64] | None:
        if len(pairs) < max(self._least_rows, len(parent) // ROWS_A_PAIR):
            return None
        with self._device:
            made = union.united(parent, partner, nearest, pairs, similarity, self._device)
            roots, partners, most = map(self._device.download, made)
            return roots, partners, most

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        if rows < self._least_rows:
            return self._host.decided(work, rows)
        with self._device:
            return work(self._arrays)

    def memory(self) -> int:
        return self._host.memory()

    def _is_for_host(self, rows: int, columns: Sequence[Spans]) -> bool:
        """Whether a call is about few rows, whose bytes the host has."""
        away = any(isinstance(column, LazySpans) and not column.is_here for column in columns)
        return rows < self._least_rows and not away

    def _name_of(self, column: Spans) -> str | None:
        """The name of a column of the chunk, as its scan gave it."""
        if self._chunk is None or not isinstance(column, LazySpans) or column.places is None:
            return None
        columns = self._chunk.columns.items()
        return next((name for name, known in columns if known.places is column.places), None)

    def _column(self, spans: Spans) -> Column:
        """Values with their places on the device, if these fit; while the device is entered."""
        arrays = spans.start, spans.length, spans.kind
        places = self._there_if_it_fits(lambda: tuple(map(self._device.upload, arrays)))
        return Column(*arrays, places)

    def _there_if_it_fits(self, upload: Callable[[], Any]) -> Any:
        """What an upload gives; None where there is no room: calls take parts of it up, each its own."""
        try:
            return upload()
        except Exception as error:
            if not out_of_memory(error):
                raise
            return None

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
        return DeviceSpans(column.source, column.start, column.length, column.kind, column.places)
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
