"""The GPU engine's whole way, on a device of the simulator and on a GPU: the CPU engine's very bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.dedup import exact
from forge_gpu.engine.base import Engine
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.held import HeldChunks
from forge_gpu.engine.resilient import ResilientEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.events.events import FellBack, Halved
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import CLEAN, Spans, Text
from tests.job.jobs import content, plan, rows, write_lines
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.kernels.simulated_engine import Entered

BACKENDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
CHATML = {
    "output": {"columns": ["score"], "order": "shuffled"},
    "preprocessing": {"split": {"stratify": "category"}, "dedup": {"near": {"permutations": 32}}},
}


@pytest.fixture(params=BACKENDS)
def device(request: pytest.FixtureRequest) -> Entered:
    return Entered(open_device(request.param))


def gpu_engine(device: Entered) -> Engine:
    from forge_gpu.engine.gpu.engine import GpuEngine

    return GpuEngine(device, CpuEngine(), least_rows=0, chunks=HeldChunks())


def run(config: Any, output: Path, make: Any, events: list[Any]) -> None:
    budget = Budget(2**24, 1, 4096, "a test")
    prepare(
        JobSpec(config, output.parent, output, range_bytes=8192), budget, make, events.append, lambda: None
    )


def on(device: Entered) -> EngineFactory:
    """What makes the engines of a job on this device."""
    return EngineFactory(
        "gpu", "a test", lambda made: ResilientEngine(gpu_engine(device), CpuEngine(), made.health)
    )


def test_a_job_writes_the_same_bytes(device: Entered, tmp_path: Path) -> None:
    config = plan(write_lines(tmp_path / "in.jsonl", rows(9)), **CHATML)
    events: list[Any] = []
    run(config, tmp_path / "cpu", CpuEngine, [])
    run(config, tmp_path / "gpu", on(device), events)
    assert content(tmp_path / "gpu") == content(tmp_path / "cpu")
    assert device.forgotten > 0
    assert not [event for event in events if isinstance(event, FellBack | Halved)]


def test_texts_stay_on_the_device_until_they_are_asked_for(device: Entered) -> None:
    data = np.frombuffer(b"abcdefgh", np.uint8)
    column = Spans(data, np.array([0, 3, 8]), np.array([3, 5, 0]), np.full(3, CLEAN, np.uint8))
    engine, cpu = gpu_engine(device), CpuEngine()
    text = engine.text(column)
    assert np.array_equal(engine.hash128(text), cpu.hash128(cpu.text(column)))
    assert not text._is_here  # type: ignore[attr-defined]
    assert [text.row(i) for i in range(3)] == [b"abc", b"defgh", b""]
    of_host = Text(data, np.array([0, 3, 8]))
    assert np.array_equal(engine.hash64(of_host, 3), cpu.hash64(of_host, 3))


def test_duplicates_are_those_of_the_cpu(device: Entered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK", 16)
    chance = np.random.default_rng(3)
    hashes = chance.integers(0, 2**64, (9, 2), np.uint64)[chance.integers(0, 9, 70)]
    hashes[50:] = chance.integers(0, 2**64, (20, 2), np.uint64)
    live = chance.random(70) < 0.8
    engine = gpu_engine(device)
    for budget in (2**20, 20 * exact.BYTES_A_ROW):  # in one table, and in parts
        result = exact.duplicates(hashes, live, budget, engine.first_occurrence)
        assert result.tolist() == exact.duplicates(hashes, live, budget).tolist()
    assert (result >= 0).sum() > 20


@pytest.mark.sim
def test_a_job_whose_device_has_no_room_sim(tmp_path: Path) -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    device = Entered(open_device("sim"))
    device.device.limit = 1500
    config = plan(write_lines(tmp_path / "in.jsonl", rows(6)))
    events: list[Any] = []
    run(config, tmp_path / "cpu", CpuEngine, [])
    factory = on(device)
    run(config, tmp_path / "gpu", factory, events)
    assert content(tmp_path / "gpu") == content(tmp_path / "cpu")
    assert [event for event in events if isinstance(event, Halved)]
    assert factory.health.failure is None


@pytest.mark.sim
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
