"""The CPU engine: the kernels of `kernels/cpu`, with buffers that are kept from chunk to chunk."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from forge_gpu.engine.base import RowGroups
from forge_gpu.engine.held import HeldChunk
from forge_gpu.engine.marked import Unmarked
from forge_gpu.kernels.arrays import HOST, Arrays, Result
from forge_gpu.kernels.cpu import dedup, hashing, jsontext, messages, render, scan, statistics
from forge_gpu.kernels.cpu.token_rows import unmark
from forge_gpu.kernels.cpu.utf8 import valid_utf8
from forge_gpu.kernels.layout import I32, I64, U8, U64, Messages, ProgramTable, Records, Spans, Text
from forge_gpu.kernels.reference.minhash import Signing
from forge_gpu.kernels.reference.shingles import U32
from forge_gpu.kernels.reference.statistics import Judged
from forge_gpu.kernels.reference.union import F64
from forge_gpu.kernels.scratch import Scratch

if TYPE_CHECKING:
    from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered


class CpuEngine:
    """See `engine.base.Engine`. Uses one thread: the one that calls it."""

    name = "cpu"

    def __init__(self) -> None:
        self._scan = Scratch()
        self._messages = Scratch()
        self._text = Scratch()
        self._renders = [Scratch()]  # of texts that are kept; the last one used is the one to render with
        self._kept = 0
        self._hash = Scratch()
        self._statistics = Scratch()

    def scan(self, data: U8, form: str, keys: Sequence[str], max_row_bytes: int) -> Records:
        return scan.scan_records(data, form, keys, max_row_bytes, self._scan)

    def pin(self, memory: bytearray) -> Callable[[], None]:
        return lambda: None

    def hold(self, key: Hashable, records: Records, note: Any, host_room: int) -> None:
        """Holds nothing: the host has no bytes to spare, and reads them fast."""

    def held(self, key: Hashable) -> HeldChunk | None:
        return None

    def take_up(self, chunk: HeldChunk, again: Callable[[BaseException], U8]) -> Records:
        raise NotImplementedError("the CPU's engine holds no chunk")

    def messages(self, column: Spans, roles: Sequence[str], role_key: str, content_key: str) -> Messages:
        return messages.scan_messages(column, roles, role_key, content_key, self._messages)

    def text(self, column: Spans) -> Text:
        return jsontext.decode(column, self._text)

    def render(
        self,
        table: ProgramTable,
        program: I32,
        columns: Sequence[Spans],
        rows: I64,
        encoding: int,
        first: I64 | None = None,
    ) -> Text:
        return render.render(table, program, columns, rows, encoding, first, self._renders[self._kept])

    def run_code(self, machine: Machine, columns: Sequence[Spans], rows: I64) -> Rendered:
        return machine.run(columns, rows)

    def keep(self, text: Text) -> Text:
        self._kept += 1
        if self._kept == len(self._renders):
            self._renders.append(Scratch())
        return text

    def own(self, text: Text) -> Text:
        return render.taken_from(self._renders[self._kept], text)

    def release_result(self) -> None:
        self._kept = 0

    def hash128(self, text: Text) -> U64:
        return hashing.xxh3_128(text, self._hash)

    def hash64(self, text: Text, seed: int) -> U64:
        return hashing.xxh3_64(text, seed, self._hash)

    def band_hashes(self, text: Text, signing: Signing) -> U64:
        from forge_gpu.kernels.cpu import minhash

        return minhash.band_hashes(text.data, text.offsets, *signing)

    def unmark(self, text: Text) -> Unmarked:
        return Unmarked(*unmark(Text(text.data, text.offsets)))

    def judge(self, column: Spans, limit: float | None) -> Judged:
        return statistics.judge(column, limit, self._statistics)

    def valid_utf8(self, column: Spans) -> U8:
        return valid_utf8(column)

    def parquet_texts(self, row_groups: RowGroups) -> tuple[int, dict[str, Spans] | None]:
        return len(row_groups.groups), None

    def first_occurrence(self, hashes: U64, live: U8) -> I64:
        return dedup.first_occurrence(hashes, live)

    def shared_shingles(
        self, texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32
    ) -> tuple[I64, I64] | None:
        return None

    def united(
        self, parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64
    ) -> tuple[I64, I64, F64] | None:
        return None

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        return work(HOST)

    def memory(self) -> int:
        scratches = (self._scan, self._messages, self._text, *self._renders, self._hash, self._statistics)
        return sum(scratch.nbytes for scratch in scratches)
