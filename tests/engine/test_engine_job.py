"""A whole job on engines with faults: the bytes of a job on the CPU engine, and what happened is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from forge_gpu.cli.summary import engine_lines
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.resilient import ResilientEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.events.events import FellBack, Halved
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from tests.engine.faulty_engines import Allocator, FaultyEngine
from tests.job.jobs import content, plan, rows, write_lines


def run(folder: Path, make: Any, threads: int, events: list[Any]) -> dict[str, str]:
    source = folder / "in.jsonl"
    if not source.exists():
        write_lines(source, rows(300))
    output = folder / "out"
    budget = Budget(2**24, threads, 4096, "a test")
    spec = JobSpec(plan(source), folder, output, fresh=True, range_bytes=16384)
    prepare(spec, budget, make, events.append, lambda: None)
    return content(output)


def factory(allocator: Allocator) -> EngineFactory:
    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(FaultyEngine(allocator), CpuEngine(), made.health)

    return EngineFactory("gpu", "a test", make, opened={1: allocator})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("limit", [3000, 300, 20])
def test_a_device_with_little_memory(tmp_path: Path, limit: int, threads: int) -> None:
    expected = run(tmp_path, CpuEngine, 1, [])
    events: list[Any] = []
    allocator = Allocator(limit)
    engines = factory(allocator)
    assert run(tmp_path, engines, threads, events) == expected
    halved = [event for event in events if isinstance(event, Halved)]
    assert len(halved) == engines.health.halvings > 0
    run_facts = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())["run"]
    assert run_facts["halvings"] == len(halved) and run_facts["fell_back"] is None
    assert run_facts["gpus"] == [{"gpu": 1, "pool": limit, "peak": allocator.peak, "held": 0}]
    assert 0 < allocator.peak <= limit and run_facts["engine_reason"] == "a test"
    assert run_facts["rows_on_cpu"] == engines.health.rows_on_cpu
    assert run_facts["rows_on_cpu"] > 0 or limit > 20
    assert run_facts["chunks"] >= 2 * (tmp_path / "in.jsonl").stat().st_size // run_facts["chunk_bytes"]
    reported = "\n".join(engine_lines(run_facts))
    assert (
        "engine: a test" in reported and f"{len(halved):,} halvings" in reported and "GPU 1: peak" in reported
    )


def test_duplicates_are_found_by_the_jobs_engine(tmp_path: Path) -> None:
    expected = run(tmp_path, CpuEngine, 1, [])
    asked: list[int] = []

    class Counting(FaultyEngine):
        def first_occurrence(self, hashes: Any, live: Any) -> Any:
            asked.append(len(live))
            return super().first_occurrence(hashes, live)

    def make(made: EngineFactory) -> ResilientEngine:
        return ResilientEngine(Counting(Allocator()), CpuEngine(), made.health)

    assert run(tmp_path, EngineFactory("gpu", "a test", make), 2, []) == expected
    assert asked == [300]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("calls", [0, 1, 40, 100])
def test_a_device_that_is_lost_in_mid_run(tmp_path: Path, calls: int, threads: int) -> None:
    expected = run(tmp_path, CpuEngine, 1, [])
    events: list[Any] = []
    assert run(tmp_path, factory(Allocator(calls=calls)), threads, events) == expected
    assert len([event for event in events if isinstance(event, FellBack)]) == 1
    run_facts = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())["run"]
    assert "DeviceLost" in run_facts["fell_back"] and run_facts["engine"] == "cpu"
    assert f"the CPU engine went on: {run_facts['fell_back']}" in "\n".join(engine_lines(run_facts))
