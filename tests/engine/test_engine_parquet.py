"""Jobs from Parquet whose texts an engine decodes: the bytes of the CPU engine, whatever goes wrong."""

from __future__ import annotations

import errno
import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.lazy import FEW, LazySpans
from forge_gpu.engine.resilient import ResilientEngine
from forge_gpu.errors import InputError
from forge_gpu.io import faults
from forge_gpu.io.row_groups import RowGroups
from forge_gpu.job.events.events import FellBack, Halved
from tests.engine.faulty_engines import Allocator, FaultyEngine
from tests.engine.parquet_jobs import CHAT, FLAT, GROUPS, LONG, SOURCE, plan, run, table, write
from tests.job.jobs import content, read_lines
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.kernels.host_device import DeviceLost
from tests.kernels.simulated_engine import Entered
from tests.kernels.simulated_parquet import SimulatedParquet

PLANS = {"flat": FLAT, "chat": CHAT, "source": SOURCE, "too long": LONG}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.parquet", table(sum(GROUPS)))


def faulty(decoder: SimulatedParquet, allocator: Allocator | None = None) -> EngineFactory:
    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(FaultyEngine(allocator or Allocator(), decoder), CpuEngine(), made.health)

    return EngineFactory("gpu", "a test", make)


def expected(source: Path, folder: Path, sections: dict[str, dict[str, Any]]) -> dict[str, str]:
    run(plan(source, sections), folder / "cpu", CpuEngine)
    return content(folder / "cpu")


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("chunk_bytes", [1, 300, 2**20])
def test_the_same_bytes_from_any_chunks(source: Path, tmp_path: Path, name: str, chunk_bytes: int) -> None:
    decoder = SimulatedParquet()
    for number, threads in enumerate((1, 2)):
        engines = faulty(decoder)
        output = tmp_path / f"gpu{number}"
        config = plan(source, PLANS[name])
        run(config, output, engines, chunk_bytes=chunk_bytes, threads=threads, range_bytes=500)
        assert content(output) == expected(source, tmp_path, PLANS[name])
        assert engines.health.failure is None and engines.health.rows_on_cpu == 0
    assert decoder.decoded >= 4 * sum(rows > 0 for rows in GROUPS)
    reasons = {entry["reason"] for entry in read_lines(tmp_path / "cpu" / "rejected.jsonl")}
    assert (
        reasons
        >= {
            "flat": {"null_field", "invalid_utf8"},
            "chat": set(),
            "source": {"null_field", "invalid_utf8"},
            "too long": {"row_too_long", "null_field", "invalid_utf8"},
        }[name]
    )


@pytest.mark.parametrize("held", [0, 1])
def test_the_file_or_its_bytes_are_decoded(tmp_path: Path, held: int) -> None:
    source = write(tmp_path / "in.parquet", table(sum(GROUPS)))
    sections = {**FLAT, "preprocessing": {"streaming_threshold_gb": held}}
    decoder = SimulatedParquet()
    run(plan(source, sections), tmp_path / "gpu", faulty(decoder))
    assert content(tmp_path / "gpu") == expected(source, tmp_path, sections) and decoder.decoded


def test_only_texts_that_every_reader_agrees_on_are_asked_for(source: Path, tmp_path: Path) -> None:
    asked: set[str] = set()

    class Watching(SimulatedParquet):
        def texts(self, content: Any, groups: Any, columns: Any, room: Any) -> Any:
            asked.update(columns)
            return super().texts(content, groups, columns, room)

    run(plan(source, SOURCE), tmp_path / "gpu", faulty(Watching()))
    assert asked == {"instruction", "output", "input"}


@pytest.mark.parametrize("limit", [200, 60, 10])
def test_row_groups_that_do_not_fit_are_halved_and_then_the_hosts(
    source: Path, tmp_path: Path, limit: int
) -> None:
    events: list[Any] = []
    engines = faulty(SimulatedParquet(), Allocator(limit))
    run(plan(source, FLAT), tmp_path / "gpu", engines, events)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, FLAT)
    assert engines.health.failure is None and engines.health.rows_on_cpu > 0
    assert len([event for event in events if isinstance(event, Halved)]) == engines.health.halvings > 0


def test_what_was_decoded_is_given_back(source: Path, tmp_path: Path) -> None:
    held: list[weakref.ref[Any]] = []
    most: list[int] = []

    class Counting(FaultyEngine):
        def parquet_texts(self, required: Any) -> Any:
            gc.collect()
            most.append(sum(array() is not None for array in held))
            return super().parquet_texts(required)

        def _room(self, size: int) -> Any:
            made = super()._room(size)
            if size:  # row groups without rows have no bytes
                held.append(weakref.ref(made))
            return made

    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(Counting(Allocator()), CpuEngine(), made.health)

    run(plan(source, FLAT), tmp_path / "gpu", EngineFactory("gpu", "a test", make), chunk_bytes=300)
    gc.collect()
    assert len(held) > 20 and max(most) <= 3  # the columns of the chunk before
    assert not [array for array in held if array() is not None]


def breaks(groups: Sequence[int]) -> None:
    raise DeviceLost("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")


def breaks_late(groups: Sequence[int]) -> None:
    if 3 in groups:
        breaks(groups)


@pytest.mark.parametrize(
    "decoder",
    [SimulatedParquet(breaks), SimulatedParquet(breaks_late), SimulatedParquet(missing=1)],
    ids=["at once", "late", "too few rows"],
)
@pytest.mark.parametrize("name", ["flat", "too long"])
def test_a_decoder_that_fails_gives_the_engine_up(
    source: Path, tmp_path: Path, decoder: SimulatedParquet, name: str
) -> None:
    events: list[Any] = []
    engines = faulty(decoder)
    run(plan(source, PLANS[name]), tmp_path / "gpu", engines, events, chunk_bytes=300)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, PLANS[name])
    assert engines.health.failure is not None
    assert len([event for event in events if isinstance(event, FellBack)]) == 1


@pytest.mark.parametrize("calls", [0, 5, 9, 14, 20, 33, 60])
def test_bytes_that_are_lost_with_the_device_are_decoded_by_the_host(
    source: Path, tmp_path: Path, calls: int
) -> None:
    engines = faulty(SimulatedParquet(), Allocator(calls=calls))
    run(plan(source, FLAT), tmp_path / "gpu", engines, chunk_bytes=300)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, FLAT)
    assert engines.health.failure is not None


def damage(path: Path, group: int, column: int) -> None:
    """Spoil a page of one column."""
    place = pq.read_metadata(path).row_group(group).column(column)
    begin = place.dictionary_page_offset or place.data_page_offset
    data = bytearray(path.read_bytes())
    data[begin : begin + 12] = bytes(12)
    path.write_bytes(bytes(data))


def test_damage_is_the_files_fault_and_no_engines(source: Path, tmp_path: Path) -> None:
    damage(source, 3, 0)
    reported = []
    engines = faulty(SimulatedParquet())
    for name, make in (("cpu", CpuEngine), ("gpu", engines)):
        with pytest.raises(InputError, match=r"in\.parquet: damaged after row \d+: ") as error:
            run(plan(source, FLAT), tmp_path / name, make)
        reported.append(str(error.value).partition("row ")[2].partition(": ")[2])
    assert reported[0] == reported[1] and "keep_prefix" in reported[0]
    assert engines.health.failure is None
    sections = {**FLAT, "data": {"on_corrupt": "keep_prefix"}}
    run(plan(source, sections), tmp_path / "kept", engines)
    assert content(tmp_path / "kept") == expected(source, tmp_path / "of", sections)


def test_a_file_that_is_damaged_between_the_passes(source: Path, tmp_path: Path) -> None:
    decoder = SimulatedParquet()

    def spoil(groups: Sequence[int]) -> None:
        if decoder.decoded >= len(GROUPS) - 1:  # the first pass has decoded all
            decoder.before = lambda groups: None
            damage(source, 4, 2)

    decoder.before = spoil
    engines = faulty(decoder)
    with pytest.raises(InputError, match=r"in\.parquet: changed while it was read"):
        run(plan(source, FLAT), tmp_path / "gpu", engines)
    assert engines.health.failure is None and decoder.decoded > len(GROUPS) - 2


def test_compressions_that_the_device_does_not_know(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", table(sum(GROUPS)), compression="zstd")
    decoder = SimulatedParquet()
    from forge_gpu.engine.gpu.engine import GpuEngine

    device = Entered(None)

    def make(made: EngineFactory) -> ResilientEngine:
        engine = GpuEngine(device, CpuEngine(), 2**40, decoder)
        return ResilientEngine(engine, CpuEngine(), made.health)

    engines = EngineFactory("gpu", "a test", make)
    run(plan(source, FLAT), tmp_path / "gpu", engines)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, FLAT)
    assert decoder.decoded == 0 and engines.health.failure is None


def test_rows_go_on_where_a_passing_fault_broke_off(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "pause", lambda *_: None)
    reading = RowGroups.batches
    calls = 0

    def stale(self: RowGroups, rows: int, columns: Sequence[str] | None) -> Any:
        nonlocal calls
        for batch in reading(self, rows, columns):
            calls += 1
            if calls in (3, 9, 16):
                raise OSError(errno.ESTALE, "stale file handle")
            yield batch

    want = expected(source, tmp_path, FLAT)
    monkeypatch.setattr(RowGroups, "batches", stale)
    for calls_left in (12, 30):
        calls = 0
        engines = faulty(SimulatedParquet(), Allocator(calls=calls_left))
        output = tmp_path / str(calls_left)
        run(plan(source, FLAT), output, engines, chunk_bytes=250)
        assert content(output) == want and calls > 16


def test_few_values_are_brought_alone_and_many_together() -> None:
    brought: list[int] = []

    def fetch(column: LazySpans) -> Any:
        brought.append(column.size)
        return column.source.copy()

    data = np.arange(200, dtype=np.uint8)
    at = np.arange(100, dtype=np.int64)
    column = LazySpans(data, at * 2, np.full(100, 2), np.full(100, 2, np.uint8), fetch)
    part = column.part(slice(10, 100))
    assert isinstance(part, LazySpans) and part.begin == 20 and part.size == 180
    for row in range(90):
        assert part.raw(row) == bytes([20 + 2 * row, 21 + 2 * row])
    assert brought == [2] * FEW + [180]


def test_what_cannot_be_brought_is_asked_for_elsewhere_by_its_place() -> None:
    def lost(column: LazySpans) -> Any:
        raise DeviceLost("gone")

    data = np.arange(50, dtype=np.uint8)
    at = np.arange(10, dtype=np.int64) * 5
    column = LazySpans(data, at, np.full(10, 5), np.full(10, 2, np.uint8), lost)
    asked: list[tuple[int, int]] = []

    def instead(column: LazySpans, error: BaseException) -> Any:
        asked.append((column.begin, column.size))
        return data[column.begin : column.begin + column.size]

    part = column.guarded(instead).part(slice(2, 8)).part(slice(1, 3))
    assert part.raw(1) == bytes(range(20, 25)) and part.data.tolist() == [*range(15, 25)]
    assert asked == [(20, 5), (15, 10)]


def gpu(device: Entered, decoder: Any) -> EngineFactory:
    from forge_gpu.engine.gpu.engine import GpuEngine

    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(GpuEngine(device, CpuEngine(), 0, decoder), CpuEngine(), made.health)

    return EngineFactory("gpu", "a test", make)


def of_device(name: str) -> tuple[Entered, Any]:
    """A device, and what decodes Parquet on it."""
    device = Entered(open_device(name))
    if name == "sim":
        return device, SimulatedParquet()
    from forge_gpu.engine.gpu.cudf_adapter import CudfParquet
    from forge_gpu.engine.gpu.pool import BudgetedPool

    return device, CudfParquet(BudgetedPool(0, 2**28))


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize(
    "backend", [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
)
def test_a_job_on_a_device(tmp_path: Path, backend: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device, decoder = of_device(backend)
    decoded: list[int] = []
    texts = type(decoder).texts

    def counted(self: Any, content: Any, groups: Sequence[int], *rest: Any) -> Any:
        decoded.extend(groups)
        return texts(self, content, groups, *rest)

    monkeypatch.setattr(type(decoder), "texts", counted)
    groups = (5, 0, 4, 3)
    source = write(tmp_path / "in.parquet", table(sum(groups)), groups)
    engines = gpu(device, decoder)
    run(plan(source, PLANS[name]), tmp_path / "gpu", engines, range_bytes=900)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, PLANS[name])
    assert engines.health.failure is None and {0, 2, 3} <= set(decoded) and len(decoded) >= 6


@pytest.mark.sim
def test_columns_stay_on_the_simulated_device_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    from forge_gpu.engine.gpu.engine import GpuEngine

    brought: list[int] = []
    fetch = GpuEngine._fetch

    def counted(self: GpuEngine, column: LazySpans) -> Any:
        brought.append(column.size)
        return fetch(self, column)

    monkeypatch.setattr(GpuEngine, "_fetch", counted)
    texts = pa.table({name: [f"{name} {i} " * 9 for i in range(8)] for name in ("instruction", "output")})
    source = write(tmp_path / "in.parquet", texts, (8,))
    engines = gpu(Entered(open_device("sim")), SimulatedParquet())
    # Control tokens are looked for on the host, which brings every column there.
    sections: dict[str, dict[str, Any]] = {"preprocessing": {"quality_checks": {"control_tokens": "off"}}}
    run(plan(source, sections), tmp_path / "gpu", engines)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, sections)
    longest = max(len(value) for column in texts.columns for value in column.to_pylist())
    assert 0 < len(brought) <= 2 and max(brought) <= longest  # one row is checked by the reference


@pytest.mark.sim
def test_a_simulated_device_with_little_room_sim(tmp_path: Path) -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    groups = (3, 4)
    source = write(tmp_path / "in.parquet", table(sum(groups)), groups)
    device = Entered(open_device("sim"))
    device.device.limit = 120
    engines = gpu(device, SimulatedParquet())
    run(plan(source, FLAT), tmp_path / "gpu", engines)
    assert content(tmp_path / "gpu") == expected(source, tmp_path, FLAT)
    assert engines.health.failure is None and engines.health.rows_on_cpu > 0


@pytest.mark.sim
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
