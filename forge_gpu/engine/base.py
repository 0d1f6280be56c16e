"""The one engine interface. `cpu/` and `gpu/` hold the same file names behind it.

An engine works on one chunk at a time and reuses its buffers, so an instance belongs to one thread, and
what it returns is valid until the next call of the same method. What it returns lives on the engine's
device: numpy arrays for `cpu`; for `gpu`, a text's bytes come to the host when they are asked for. A column
that lies on a device (`lazy.LazySpans`) may be given to any engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from forge_gpu.kernels.layout import I32, I64, U8, U64, Messages, ProgramTable, Records, Spans, Text
from forge_gpu.kernels.reference.statistics import Statistics


class Engine(Protocol):
    @property
    def name(self) -> str:
        """`cpu` or `gpu`."""

    def scan(self, data: U8, form: str, keys: Sequence[str], max_row_bytes: int) -> Records:
        """The records of a chunk of JSON: `form` is "lines" or "array" (see kernels.reference.scan)."""

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

    def hash128(self, text: Text) -> U64:
        """XXH3-128, seed 0: uint64[n, 2], (low, high)."""

    def hash64(self, text: Text, seed: int) -> U64:
        """XXH3-64 with a seed: uint64[n]."""

    def statistics(self, text: Text, repetition: bool) -> Statistics:
        """What the quality checks want to know of each text (see kernels.reference.statistics)."""

    def valid_utf8(self, column: Spans) -> U8:
        """uint8[n]: 1 where the bytes of the value are UTF-8, whatever its kind."""

    def memory(self) -> int:
        """Bytes that this engine's buffers hold now."""
