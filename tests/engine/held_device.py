"""A device that is the host's memory, of so many bytes, with the CPU's kernels behind the engine's calls.

Jobs run on the engine of a GPU as fast as on the CPU's, and it is counted what goes up and comes down.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from threading import RLock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.halving import joined_texts
from forge_gpu.engine.held import HeldChunks
from forge_gpu.engine.marked import Unmarked
from forge_gpu.engine.resilient import ResilientEngine
from forge_gpu.fates import Reason
from forge_gpu.kernels.cpu import (
    dedup,
    hashing,
    jsontext,
    messages,
    minhash,
    render,
    scan,
    shingles,
    token_rows,
    union,
    utf8,
)  # fmt: skip
from forge_gpu.kernels.cpu.vm_rows import Machine
from forge_gpu.kernels.cuda import messages as cuda_messages
from forge_gpu.kernels.cuda import scan as cuda_scan
from forge_gpu.kernels.cuda.device import DeviceSpans
from forge_gpu.kernels.cuda.vm_rows import Written
from forge_gpu.kernels.layout import CANONICAL, PADDING, Spans, Text
from forge_gpu.kernels.reference import statistics
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.kernels.vm_layout import Outcome
from tests.kernels.host_device import DeviceLost

KINDS = ("upload", "resident", "download", "settle", "pin", "kernel")
"""What is asked of a device."""


class HostPool:
    """Memory of a device: at most `budget` bytes. peak: the most it had; held: chunks between passes.

    calls: how often each kind of call was made; moved: bytes by kind; lost: whether a call, by its kind and
    number among that kind and among all, finds the device gone.
    """

    def __init__(
        self, budget: int = 2**40, lost: Callable[[str, int, int], bool] = lambda kind, of_kind, of_all: False
    ) -> None:
        self.budget, self.peak, self.used = budget, 0, 0
        self.held = HeldChunks()
        self.calls: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self._lost = lost
        self._is_lost = False
        self._lock = RLock()

    def ask(self, kind: str, size: int = 0) -> None:
        with self._lock:
            self.calls[kind] += 1
            self.moved[kind] += size
            self._is_lost |= self._lost(kind, self.calls[kind], self.calls.total())
            if self._is_lost:
                raise DeviceLost("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure")

    def allocate(self, size: int) -> Any:
        with self._lock:
            if self.used + size > self.budget:
                raise MemoryError(f"std::bad_alloc: out_of_memory: {size} bytes, {self.used} in use")
            self.used += size
            self.peak = max(self.peak, self.used)
        made = np.zeros(size + PADDING, np.uint8)
        weakref.finalize(made, self._free, size)
        return made

    def _free(self, size: int) -> None:
        with self._lock:
            self.used -= size


class HostDevice:
    """See engine.gpu.device.ChunkDevice. Arrays of its own are marked by their memory: see `array`."""

    xp = np

    def __init__(self, pool: HostPool) -> None:
        self.pool = pool
        self._allocate = pool.held.allocator(pool.allocate)
        self._kept: dict[int, tuple[Any, Any]] = {}

    def __enter__(self) -> HostDevice:
        return self

    def __exit__(self, *error: object) -> None: ...

    def forget(self) -> None:
        self._kept.clear()

    def upload(self, array: Any) -> Any:
        self.pool.ask("upload", array.nbytes)
        return self.array(array)

    def array(self, array: Any) -> Any:
        """A copy in the device's memory."""
        there = self._allocate(array.nbytes)[: array.nbytes].view(array.dtype).reshape(array.shape)
        there[...] = array
        return there

    def download(self, array: Any) -> Any:
        self.pool.ask("download", array.nbytes)
        return np.array(array)

    def bytes(self, size: int) -> Any:
        self.pool.ask("bytes", size)
        return self._allocate(size)

    def resident(self, buffer: Any) -> Any:
        known = self._kept.get(id(buffer))
        if known is not None and known[0]() is buffer:
            return known[1]
        self.pool.ask("resident", len(buffer))
        there = self.array(buffer)
        self._kept[id(buffer)] = weakref.ref(buffer), there
        return there

    def settle(self) -> None:
        self.pool.ask("settle")

    def pin(self, memory: bytearray) -> Callable[[], None]:
        self.pool.ask("pin", len(memory))
        return lambda: None

    def result(self, text: Text) -> Text:
        """A text that a kernel has made, on the device."""
        size = int(text.offsets[-1])
        return Text(self.array(text.data[: size + PADDING]), self.array(text.offsets))


def _there(column: Spans, device: HostDevice) -> Spans:
    """A column as the kernels of the CPU take it; what is not on the device goes up."""
    data = column.data if isinstance(column, DeviceSpans) else device.resident(column.data)
    places = getattr(column, "places", None)
    if places is None:
        places = tuple(device.upload(array) for array in (column.start, column.length, column.kind))
    return Spans(data, *places)


def _render(
    table: Any,
    program: Any,
    columns: Sequence[Spans],
    rows: Any,
    encoding: int,
    first: Any,
    device: HostDevice,
) -> Text:
    there = [_there(column, device) for column in columns]
    device.upload(np.asarray(program)), device.upload(np.asarray(rows))
    device.pool.ask("kernel")
    return device.result(render.render(table, program, there, rows, encoding, first, Scratch()))


def _decode(column: Spans, device: HostDevice) -> Text:
    device.pool.ask("kernel")
    return device.result(jsontext.decode(_there(column, device), Scratch()))


def _valid_utf8(column: Spans, device: HostDevice) -> Any:
    device.pool.ask("kernel")
    return device.array(utf8.valid_utf8(_there(column, device)))


def _hash(kernel: Any) -> Any:
    def run(text: Text, *arguments: Any) -> Any:
        *seeds, device = arguments
        device.pool.ask("kernel")
        return device.array(kernel(text, *seeds, Scratch()))

    return run


def _statistics(text: Text, device: HostDevice, repetition: bool) -> Any:
    device.pool.ask("kernel")
    result = statistics.text_statistics(text, Scratch(), repetition)
    return type(result)(*map(device.array, result))


def _band_hashes(data: Any, offsets: Any, *arguments: Any) -> Any:
    *signing, device = arguments
    device.pool.ask("kernel")
    return device.array(minhash.band_hashes(data, offsets, *signing))


def _unmark(text: Text, device: HostDevice) -> Unmarked:
    device.pool.ask("kernel")
    made = Unmarked(*token_rows.unmark(text))
    device.array(made.texts.data)
    device.download(made.unknown)
    return made


def _first_occurrence(hashes: Any, live: Any, device: HostDevice) -> Any:
    device.pool.ask("kernel")
    return device.array(dedup.first_occurrence(hashes, live))


def _shared_shingles(texts: Sequence[Text], pairs: Any, *arguments: Any) -> Any:
    *settings, device = arguments
    device.pool.ask("kernel")
    device.upload(pairs)
    for text in texts:
        device.resident(text.data)
    whole = joined_texts(texts)
    device.bytes(20 * int(whole.offsets[-1]))
    values, offsets = shingles.distinct(whole.data, whole.offsets, *settings)
    shared = shingles.intersections(values, offsets, values, offsets, pairs)
    return device.array(shared), device.array(np.diff(offsets)[pairs].sum(axis=1))


def _united(parent: Any, partner: Any, nearest: Any, pairs: Any, similarity: Any, device: HostDevice) -> Any:
    device.pool.ask("kernel")
    made = tuple(map(device.upload, (parent, partner, nearest)))
    there = device.upload(pairs), device.upload(similarity)
    union.unite(made[0], there[0])
    union.flatten(made[0])
    union.keep_nearest(*there, *made[1:])
    return made


def _scan_lines(data: Any, keys: Sequence[str], max_row_bytes: int, device: HostDevice) -> Any:
    """As kernels.cuda.scan has it: what is not good is handed over; so is every 7th record."""
    device.pool.ask("kernel")
    records = scan.scan_records(data, "lines", keys, max_row_bytes, Scratch())
    good = (records.reason == 0) & (np.arange(len(records)) % 7 != 0)
    columns = records.columns.values()
    kind = np.where(good, cuda_scan.GOOD, cuda_scan.HANDED).astype(np.uint8)
    return (
        device.array(np.array([*(column.start * good for column in columns), records.start])),
        device.array(np.array([*(column.length * good for column in columns), records.length])),
        device.array(np.array([*(column.kind * good for column in columns), kind])),
    )


def _scan_messages(
    column: Spans, roles: Sequence[str], role_key: str, content_key: str, device: HostDevice
) -> Any:
    """As kernels.cuda.messages has it: what is at fault is handed over; so is every 7th row."""
    device.pool.ask("kernel")
    found = messages.scan_messages(_there(column, device), roles, role_key, content_key, Scratch())
    at_fault = found.reason == Reason.BAD_MESSAGES
    handed = at_fault | (np.arange(len(found.reason)) % 7 == 0)
    count = np.diff(found.first)
    mine = np.repeat(~handed, count)
    first = np.concatenate(([0], np.cumsum(count * ~handed)))
    contents = (found.content.start, found.content.length, found.content.kind)
    of_messages = (values[mine] for values in (found.role, *contents))
    of_rows = found.plain * ~handed, np.where(handed, cuda_messages.HANDED, found.reason).astype(np.uint8)
    return cuda_messages.FlatLists(*map(device.array, (first, *of_messages, *of_rows)))


def _run_rows(program: Any, columns: Sequence[Spans], rows: Any, device: HostDevice, room: int) -> Written:
    """As kernels.cuda.vm_rows has it; every 7th row is given up."""
    device.pool.ask("kernel")
    made = Machine(program).run([_there(column, device) for column in columns], device.upload(rows))
    done = (made.outcome == Outcome.DONE) & (np.arange(len(rows)) % 7 != 0)
    text, escaped = made.text, made.text.kind == CANONICAL
    outcome = np.where(done, Outcome.DONE, Outcome.TO_JINJA)
    return Written(outcome, device.array(text.data), text.start, np.where(done, text.length, 0), escaped)


def _together(written: Written, left: Any, others: Spans, device: HostDevice) -> Text:
    device.pool.ask("kernel")
    of_host = dict(zip(left.tolist(), range(len(left)), strict=True))
    of_device = Spans(written.output, written.start, written.length, written.escaped.view(np.uint8))
    count = len(written.outcome)
    texts = [others.raw(of_host[k]) if k in of_host else of_device.raw(k) for k in range(count)]
    data = np.frombuffer(b"".join(texts) + bytes(PADDING), np.uint8)
    return device.result(Text(data, np.cumsum([0, *map(len, texts)])))


@pytest.fixture
def host_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's kernels in the place of CUDA's in the engine of a GPU."""
    from forge_gpu.engine.gpu import code, engine, structure

    monkeypatch.setattr(structure, "scan", SimpleNamespace(scan_lines=_scan_lines, HANDED=cuda_scan.HANDED))
    monkeypatch.setattr(
        structure, "messages", SimpleNamespace(scan_messages=_scan_messages, HANDED=cuda_messages.HANDED)
    )
    monkeypatch.setattr(code, "vm_rows", SimpleNamespace(run_rows=_run_rows, together=_together))
    for name, kernels in {
        "render": SimpleNamespace(render=_render, decode=_decode),
        "hashing": SimpleNamespace(xxh3_128=_hash(hashing.xxh3_128), xxh3_64=_hash(hashing.xxh3_64)),
        "minhash": SimpleNamespace(band_hashes=_band_hashes),
        "statistics": SimpleNamespace(text_statistics=_statistics),
        "dedup": SimpleNamespace(first_occurrence=_first_occurrence),
        "valid_utf8": _valid_utf8,
        "sets": SimpleNamespace(shared_shingles=_shared_shingles),
        "union": SimpleNamespace(united=_united),
        "tokens": SimpleNamespace(unmark=_unmark),
    }.items():
        monkeypatch.setattr(engine, name, kernels)


def engines_on(pool: HostPool, least_rows: int = 0) -> EngineFactory:
    """What makes the engines of a job on a host device with this memory."""
    from forge_gpu.engine.gpu.engine import GpuEngine

    def make(made: EngineFactory) -> ResilientEngine:
        device: Any = HostDevice(pool)
        engine = GpuEngine(device, CpuEngine(), least_rows, chunks=pool.held)
        return ResilientEngine(engine, CpuEngine(), made.health)

    return EngineFactory("gpu", "a test", make, opened={1: pool})
