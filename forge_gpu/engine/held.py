"""Chunks that the first pass leaves on a device for the next ones; the oldest are let go for room."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import field
from threading import Lock
from typing import Any

import numpy as np

from forge_gpu.engine.halving import out_of_memory
from forge_gpu.engine.lazy import LazyRecords, LazySpans
from forge_gpu.kernels.layout import U8, Messages, Spans
from forge_gpu.plain import frozen, mutable

Fetch = Callable[[LazySpans], U8]
Asked = tuple[Sequence[str], str, str]
"""With what a column's messages were asked for: roles, role key, content key."""


@frozen
class Column:
    """Values of a chunk: start, length, kind on the host, in memory of their own, and on the device."""

    start: Any
    length: Any
    kind: Any
    places: tuple[Any, Any, Any] | None

    def copy(self) -> Column:
        """The same, in memory of its own."""
        return Column(self.start.copy(), self.length.copy(), self.kind.copy(), self.places)

    def over(self, source: Any, fetch: Fetch, here: U8 | None = None) -> LazySpans:
        return LazySpans(source, self.start, self.length, self.kind, fetch, places=self.places, here=here)

    @property
    def nbytes(self) -> int:
        return int(self.start.nbytes + self.length.nbytes + self.kind.nbytes)


@mutable
class HeldChunk:
    """A scanned chunk: its bytes on a device, its records, their columns, and the message lists in them.
    note: what its holder knows of it."""

    source: Any
    rows: Column
    columns: dict[str, Column]
    messages: dict[tuple[str, Any], tuple[Messages, Column]] = field(default_factory=dict)
    note: Any = None

    @property
    def on_device(self) -> int:
        """Bytes there."""
        return len(self.source) + self.on_host

    @property
    def on_host(self) -> int:
        """Bytes here: about, as each value may be there too."""
        columns = (self.rows, *self.columns.values(), *(column for _, column in self.messages.values()))
        return sum(column.nbytes for column in columns)

    def records(self, fetch: Fetch) -> LazyRecords:
        """The records, which may be changed; their bytes are brought by `fetch`, once."""
        whole: list[U8] = []

        def once(column: LazySpans) -> U8:
            if not whole and column.size < len(self.source):
                return fetch(column)
            if not whole:
                whole.append(fetch(column))
            return whole[0][column.begin : column.begin + column.size]

        rows = self.rows.over(self.source, once)
        columns: dict[str, Spans] = {
            name: column.over(self.source, once) for name, column in self.columns.items()
        }
        return LazyRecords(rows, self.rows.kind.copy(), columns)


class HeldChunks:
    """Of one device, for all engines on it. let_go: how many chunks were let go of. peak: the most bytes of
    the device that were held at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._chunks: dict[Hashable, HeldChunk] = {}
        self._on_host = self._on_device = 0
        self.let_go = self.peak = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def hold(self, key: Hashable, chunk: HeldChunk, host_room: int) -> None:
        """Hold a chunk, and let go of the oldest that have no room on the host. host_room: bytes for all."""
        with self._lock:
            self._let_go(key)
            self._chunks[key] = chunk
            self._on_host += chunk.on_host
            self._on_device += chunk.on_device
            while self._on_host > host_room:
                self._let_go(next(iter(self._chunks)))
                self.let_go += 1
            self.peak = max(self.peak, self._on_device)

    def find(self, key: Hashable) -> HeldChunk | None:
        return self._chunks.get(key)

    def make_room(self) -> bool:
        """Let go of the oldest chunk; whether there was one."""
        with self._lock:
            if not self._chunks:
                return False
            self._let_go(next(iter(self._chunks)))
            self.let_go += 1
            return True

    def allocator(self, allocate: Callable[[int], Any]) -> Callable[[int], Any]:
        """One that lets go of chunks, one by one, until what is asked for fits."""

        def allocate_in_room(size: int) -> Any:
            return self.in_room(lambda: allocate(size))

        return allocate_in_room

    def in_room(self, call: Callable[[], Any]) -> Any:
        """What a call gives that allocates: tried again while it does not fit and a chunk can be let go."""
        while True:
            try:
                return call()
            except Exception as error:
                if not out_of_memory(error) or not self.make_room():
                    raise

    def _let_go(self, key: Hashable) -> None:
        chunk = self._chunks.pop(key, None)
        if chunk is not None:
            self._on_host -= chunk.on_host
            self._on_device -= chunk.on_device


def own_messages(messages: Messages) -> Messages:
    """The same in memory of its own, but for the contents."""
    return Messages(
        np.array(messages.first),
        np.array(messages.role),
        messages.content,
        np.array(messages.plain),
        np.array(messages.reason),
    )
