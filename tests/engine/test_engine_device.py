"""The device over cupy, where cupy's names stand for the host's memory and the simulator for the kernels."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.held import HeldChunks
from forge_gpu.engine.resilient import ResilientEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.chunks import ReadBuffer
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import CLEAN, PADDING, Spans
from tests.engine import parquet_jobs
from tests.engine.host_cupy import STREAMS, DeviceArray, Scope, cupy, cupyx
from tests.job.jobs import content, plan, rows, write_lines
from tests.kernels.cuda_backends import SIMULATED, run_simulated
from tests.kernels.simulated_parquet import SimulatedParquet

pytestmark = pytest.mark.sim


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", cupyx)
    from numba import cuda
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    monkeypatch.setattr(
        cuda, "as_cuda_array", lambda array, sync: FakeCUDAArray(np.asarray(array)), raising=False
    )
    monkeypatch.setattr(cuda, "external_stream", lambda pointer: pointer, raising=False)
    from forge_gpu.engine.gpu import device as module

    monkeypatch.setattr(module, "SLOT_BYTES", 512)
    return module.CupyDevice(3, bytearray)


def entered_scopes() -> tuple[Any, ...]:
    return Scope.entered


def test_work_is_done_on_the_engines_own_stream_sim(device: Any) -> None:
    assert entered_scopes() == ()
    with device:
        number, stream, allocator = entered_scopes()
        assert number.what == (3,) and stream is STREAMS[-1] and stream is device._stream
        with device:
            assert entered_scopes()[:3] == (number, stream, allocator)
    assert entered_scopes() == ()


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (700,), (40, 5)])
def test_arrays_go_there_and_back_sim(device: Any, kind: Any, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 200, shape).astype(kind)
    with device:
        there = device.upload(array)
        assert isinstance(there, DeviceArray) and device.upload(there) is there
        back = device.download(there)
        assert back.dtype == kind and back.shape == shape and np.array_equal(back, array)
        if shape == (40, 5):
            assert np.array_equal(device.download(there[3:, 1]), array[3:, 1])
    assert not isinstance(back, DeviceArray)


def test_a_window_shows_every_buffer_sim(device: Any) -> None:
    host = np.arange(100, dtype=np.uint8)
    with device:
        there = device.bytes(40)
        there[:40] = 7
        memory, words, bases = device.window([host, there[3:40], host[:0]])
        assert bytes(memory[bases[0] : bases[0] + 100]) == bytes(host)
        assert bytes(memory[bases[1] : bases[1] + 37]) == b"\x07" * 37
        assert words.nbytes == len(memory) and words.ctypes.data == memory.ctypes.data
        assert memory.ctypes.data % 256 == 0


def test_a_buffer_is_kept_while_its_array_lives_sim(device: Any) -> None:
    host = np.arange(100, dtype=np.uint8)
    with device:
        first = device.resident(host)
        assert device.resident(host) is first and device.resident(host.copy()) is not first
        gc.collect()
        assert len(device._kept) == 1
        device.forget()
        assert device.resident(host) is not first


def test_pinned_memory_goes_up_from_where_it_is_sim(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    monkeypatch.setattr(device._staging, "upload", lambda data, target: copied.append(len(data)))
    buffer = ReadBuffer(pin=device.pin)
    memory = np.frombuffer(buffer.reserve(600), np.uint8)
    with device:
        memory[100:] = 7
        assert bytes(device.resident(memory[100:])[:500]) == b"\x07" * 500 and not copied
        device.resident(np.zeros(30, np.uint8))
        assert copied == [30]
        buffer.reserve(601)
        device.resident(memory[:40])
        assert copied == [30, 40]
    assert len(device._pinned) == 1
    del buffer
    assert not device._pinned


def test_texts_have_room_behind_them_sim(device: Any) -> None:
    from forge_gpu.engine.gpu.engine import GpuEngine

    data = np.frombuffer(b"abcdefgh", np.uint8)
    column = Spans(data, np.array([0, 3]), np.array([3, 5]), np.full(2, CLEAN, np.uint8))
    text = GpuEngine(device, CpuEngine(), 0).text(column)
    assert [text.row(i) for i in range(2)] == [b"abc", b"defgh"]
    assert len(text.data) >= int(text.offsets[-1]) + PADDING


def test_a_job_writes_the_same_bytes_sim(device: Any, tmp_path: Path) -> None:
    from forge_gpu.engine.gpu.engine import GpuEngine

    config = plan(write_lines(tmp_path / "in.jsonl", rows(8)), output={"columns": ["score"]})

    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(GpuEngine(device, CpuEngine(), 0), CpuEngine(), made.health)

    pool = SimpleNamespace(budget=9, peak=8, held=HeldChunks())
    engines = EngineFactory("gpu", "a test", make, opened={3: pool})
    budget = Budget(2**24, 1, 4096, "a test")
    for name, maker in (("cpu", CpuEngine), ("gpu", engines)):
        spec = JobSpec(config, tmp_path, tmp_path / name, range_bytes=8192)
        prepare(spec, budget, maker, lambda event: None, lambda: None)
    assert content(tmp_path / "gpu") == content(tmp_path / "cpu")
    assert engines.health.failure is None and Scope.entered == ()


def test_a_job_from_parquet_writes_the_same_bytes_sim(device: Any, tmp_path: Path) -> None:
    from forge_gpu.engine.gpu.engine import GpuEngine

    config = parquet_jobs.plan(
        parquet_jobs.write(tmp_path / "in.parquet", parquet_jobs.table(9), (5, 4)), parquet_jobs.FLAT
    )
    decoder = SimulatedParquet()

    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(GpuEngine(device, CpuEngine(), 0, decoder), CpuEngine(), made.health)

    engines = EngineFactory("gpu", "a test", make)
    parquet_jobs.run(config, tmp_path / "cpu", CpuEngine)
    parquet_jobs.run(config, tmp_path / "gpu", engines)
    assert content(tmp_path / "gpu") == content(tmp_path / "cpu")
    assert decoder.decoded == 4 and engines.health.failure is None and Scope.entered == ()


@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
