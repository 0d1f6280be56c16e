"""The one engine interface. `cpu/` and `gpu/` hold the same file names behind it.

An engine works on one chunk at a time and reuses its buffers, so an instance belongs to one thread, and
what it returns is valid until the next call of the same method. What it returns lives on the engine's
device: numpy arrays for `cpu`; for `gpu`, a text's bytes come to the host when they are asked for. A column
that lies on a device (`lazy.LazySpans`) may be given to any engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from forge_gpu.engine.marked import Unmarked
from forge_gpu.kernels.arrays import Arrays, Result
from forge_gpu.kernels.layout import I32, I64, U8, U64, Messages, ProgramTable, Records, Spans, Text
from forge_gpu.kernels.reference.minhash import Signing
from forge_gpu.kernels.reference.shingles import U32
from forge_gpu.kernels.reference.statistics import Judged
from forge_gpu.kernels.reference.union import F64

if TYPE_CHECKING:
    from forge_gpu.engine.held import HeldChunk
    from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered


class RowGroups(Protocol):
    """Some row groups of a Parquet file, and the columns of text that are wanted of them.

    content: the file's path, or its bytes. groups: their numbers, rows: what the footer says each has.
    columns: names, at the top of the schema, of the logical type STRING. codecs: their compressions, in the
    names of the format.
    """

    @property
    def content(self) -> Path | bytes: ...

    @property
    def groups(self) -> Sequence[int]: ...

    @property
    def rows(self) -> Sequence[int]: ...

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def codecs(self) -> Collection[str]: ...

    def part(self, chosen: slice) -> RowGroups:
        """Some consecutive ones of the groups."""

    def text_bytes(self, column: str) -> U8:
        """All texts of a column, one after the other, decoded on the host. Raises InputError."""


class Engine(Protocol):
    @property
    def name(self) -> str:
        """`cpu` or `gpu`."""

    def scan(self, data: U8, form: str, keys: Sequence[str], max_row_bytes: int) -> Records:
        """The records of a chunk of JSON: `form` is "lines" or "array" (see kernels.reference.scan)."""

    def pin(self, memory: bytearray) -> Callable[[], None]:
        """Memory that chunks are read into goes to the device from where it is, until what this returns is
        called; it must not move or end before."""

    def hold(self, key: Hashable, records: Records, note: Any, host_room: int) -> None:
        """Hold the chunk that was scanned last, with its records, on the device, as far as there is room.
        note: goes with it. host_room: bytes of the host that all that is held may take."""

    def held(self, key: Hashable) -> HeldChunk | None:
        """A chunk that is held on this engine's device; None where it is not, or not any more."""

    def take_up(self, chunk: HeldChunk, again: Callable[[BaseException], U8]) -> Records:
        """The records of a held chunk, as a scan of it would give them. again: reads its bytes where the
        device does not bring them, for this error."""

    def messages(self, column: Spans, roles: Sequence[str], role_key: str, content_key: str) -> Messages:
        """A column of JSON message lists, flattened (see kernels.reference.messages)."""

    def text(self, column: Spans) -> Text:
        """A column as plain UTF-8: escapes resolved, JSON values as their text, null and absent empty."""

    def render(
        self,
        table: ProgramTable,
        program: I32,
        columns: Sequence[Spans],
        rows: I64,
        encoding: int,
        first: I64 | None = None,
    ) -> Text:
        """Run program[r] for each r of `rows`, in their order (see kernels.reference.render)."""

    def run_code(self, machine: Machine, columns: Sequence[Spans], rows: I64) -> Rendered:
        """What a template that is code makes of some rows (see kernels.reference.vm_run), without its marks;
        valid until the machine's next run."""

    def keep(self, text: Text) -> Text:
        """What `render` has just given, as a text on the host that is valid until `release_result`."""

    def release_result(self) -> None:
        """The texts that were kept are not needed any more: their memory is used again."""

    def own(self, text: Text) -> Text:
        """What `render` has just given, as a text on the host that stays valid for good."""

    def hash128(self, text: Text) -> U64:
        """XXH3-128, seed 0: uint64[n, 2], (low, high)."""

    def hash64(self, text: Text, seed: int) -> U64:
        """XXH3-64 with a seed: uint64[n]."""

    def band_hashes(self, text: Text, signing: Signing) -> U64:
        """A hash for each band of each text: uint64[n, bands] (see kernels.reference.minhash)."""

    def unmark(self, text: Text) -> Unmarked:
        """What `render` has just given, without the marks of programs (see
        kernels.reference.token_rows.unmark)."""

    def judge(self, column: Spans, limit: float | None) -> Judged:
        """What the quality checks find in each value (see kernels.reference.statistics). limit: of repeated
        windows; None: not looked for."""

    def valid_utf8(self, column: Spans) -> U8:
        """uint8[n]: 1 where the bytes of the value are UTF-8, whatever its kind."""

    def parquet_texts(self, row_groups: RowGroups) -> tuple[int, dict[str, Spans] | None]:
        """The wanted columns of the first so many row groups, each over one buffer that has its texts one
        after the other, kinds PLAIN and NULL. None instead: the caller is to decode these on the host."""

    def first_occurrence(self, hashes: U64, live: U8) -> I64:
        """The first live row with the same hash (see kernels.reference.dedup); an array of its own."""

    def shared_shingles(
        self, texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32
    ) -> tuple[I64, I64] | None:
        """How many shingles both rows of a pair share, and how many they have, one by one: int64[m] each (see
        kernels.reference.shingles). texts: valid for good, their rows counted through; pairs: int64[m, 2].
        None instead: the caller's threads are to compare these on the host."""

    def united(
        self, parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64
    ) -> tuple[I64, I64, F64] | None:
        """(parent, partner, nearest) once some pairs have come, each component's rows under its smallest one
        (see kernels.reference.union). None instead: the caller is to join them on the host."""

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        """What a decision about so many rows makes of them (see kernels.arrays.Decide)."""

    def memory(self) -> int:
        """Bytes that this engine's buffers hold now."""
