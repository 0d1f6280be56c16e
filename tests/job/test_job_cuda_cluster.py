"""A worker a GPU: the cluster's arguments out of what is free, and one line where it cannot be made."""

from __future__ import annotations

import inspect
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.hardware.budget import Budget, peak_factors
from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.job.prepare import prepare
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run import cluster
from forge_gpu.job.run.cluster import WorkerJob, own_gpu, worker_job
from forge_gpu.job.run.cuda_cluster import CudaWorkers
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.inputs import Item
from forge_gpu.job.state.spec import JobSpec
from tests.job import jobs


def gpu(number: int, free: int) -> GPU:
    return GPU(number, "H100", f"GPU-{number}", "Hopper", (9, 0), 80 * 2**30, free, 0)


GPUS = (gpu(0, 10 * 2**30), gpu(1, 70 * 2**30), gpu(2, 40 * 2**30 + 12345))


def test_each_worker_has_a_gpu_and_its_threads() -> None:
    made = CudaWorkers.of(2, GPUS, 9)
    assert made.arguments() == {
        "CUDA_VISIBLE_DEVICES": ["GPU-1", "GPU-2"],
        "n_workers": 2,
        "threads_per_worker": 4,
        "memory_limit": 0,
        "device_memory_limit": None,
    }
    assert CudaWorkers.of(3, GPUS, 2).threads == 1


@pytest.mark.parametrize("free", [2**30 + 1, 7 * 2**33 + 17])
@pytest.mark.parametrize("threads", [1, 5, 16])
def test_the_pool_of_a_worker_is_the_budget_of_its_gpu(free: int, threads: int) -> None:
    """There is no other pool: what cuDF needs is of the engines'."""
    gpus = [gpu(0, free), gpu(1, 2 * free)]
    made = CudaWorkers.of(2, gpus, threads)
    table = peak_factors()["gpu"]
    assert made.pool <= free * table["share"]
    assert not [name for name in made.arguments() if name.startswith("rmm")]
    on_gpus = EngineFactory("gpu", "a test", lambda factory: CpuEngine(), tuple(gpus))
    chunk = on_gpus.budget(Budget(2**40, threads, 2**20, "a test"), None).chunk_bytes
    factor = max(sum(stages.values()) for stages in table["passes"].values())
    assert chunk * factor * made.threads <= made.pool, "a chunk of each thread fits"


def test_more_workers_than_gpus_and_too_little_memory() -> None:
    with pytest.raises(ConfigError, match=r"workers is 4, .* 3 can be used: ask for 3, or set preprocessing"):
        CudaWorkers.of(4, GPUS, 4)
    with pytest.raises(ConfigError, match="too little"):
        CudaWorkers.of(1, [gpu(0, 2**20)], 1)


def test_the_arguments_are_those_of_dask_cuda() -> None:
    dask_cuda = pytest.importorskip("dask_cuda")
    inspect.signature(dask_cuda.LocalCUDACluster).bind(**CudaWorkers.of(2, GPUS, 4).arguments())


def spec(tmp_path: Path, **options: Any) -> JobSpec:
    source = jobs.write_lines(tmp_path / "in.jsonl", jobs.rows(20))
    return JobSpec(jobs.plan(source), tmp_path, tmp_path / "out", **options)


def test_workers_of_this_machine_have_the_engine_of_the_job(tmp_path: Path) -> None:
    on_gpus = EngineFactory("gpu", "a test", lambda factory: CpuEngine(), GPUS)
    on_cpu = EngineFactory("cpu", "a test", lambda factory: CpuEngine())
    asked = spec(tmp_path, workers=2)
    assert worker_job(asked, (), (), tmp_path, on_gpus, 4).cuda == CudaWorkers.of(2, GPUS, 4)
    reported = worker_job(asked, (), (), tmp_path, on_cpu, 4)
    assert (reported.engine, reported.cuda) == ("cpu", None)
    running = replace(asked, workers=None, scheduler="tcp://host:8786")
    reported = worker_job(running, (), (), tmp_path, on_gpus, 4)
    assert (reported.engine, reported.cuda) == ("auto", None)


def test_the_cluster_is_made_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setitem(
        sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=lambda **a: made.append(a))
    )
    cluster._local_cluster(None, spec(tmp_path, workers=2), CudaWorkers.of(2, GPUS, 4))
    assert made[0].items() >= CudaWorkers.of(2, GPUS, 4).arguments().items()
    assert made[0]["dashboard_address"] == "127.0.0.1:0"  # never open to others


def test_a_worker_uses_its_own_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "read_gpus", lambda: GPUs(GPUS[1:] + GPUS[:1]))
    assert own_gpu().devices == (GPUS[1],)
    monkeypatch.setattr(cluster, "read_gpus", GPUs)
    assert own_gpu().devices == ()


def test_without_dask_cuda_or_a_gpu_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    engines = EngineFactory("gpu", "a test", lambda factory: CpuEngine(), GPUS)
    budget = Budget(2**24, 1, 4096, "a test")

    def run() -> None:
        prepare(spec(tmp_path, workers=2), budget, engines, lambda event: None, lambda: None)

    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    with pytest.raises(ForgeError, match=r"need dask-cuda: pip install 'forge-gpu\[cu13\]'"):
        run()

    def broken(**_: Any) -> None:
        raise RuntimeError("NVMLError_LibraryNotFound:\nNVML Shared Library Not Found")

    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=broken))
    with pytest.raises(ForgeError, match=r"do not start: NVMLError.* 'forge doctor' says") as refused:
        run()
    assert "\n" not in str(refused.value)


def test_a_job_on_workers_opens_no_engine_on_their_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    opened: list[EngineFactory] = []

    def make(factory: EngineFactory) -> CpuEngine:
        opened.append(factory)
        return CpuEngine()

    class Pool:
        def __init__(self, spec: JobSpec, job: WorkerJob, first: Workspace) -> None:
            assert job.cuda is not None and first.engine.name == "cpu"
            raise ForgeError("seen")

    monkeypatch.setattr("forge_gpu.job.run.cluster.ClusterPool", Pool)
    engines = EngineFactory("gpu", "a test", make, GPUS)
    against = tmp_path / "eval.jsonl"
    against.write_text('{"instruction": "a question of an evaluation"}\n')
    source = jobs.write_lines(tmp_path / "in.jsonl", jobs.rows(20))
    data = {
        "inputs": [str(source)],
        "mapping": {"shape": "flat", "query": "instruction", "response": "output"},
    }
    config = jobs.plan(data=data | {"against": [str(against)]}, preprocessing={"chunk_size": 5})
    asked = JobSpec(config, tmp_path, tmp_path / "out", workers=2)
    with pytest.raises(ForgeError, match="seen"):
        prepare(asked, Budget(2**26, 1, 4096, "a test"), engines, lambda event: None, lambda: None)
    assert opened == []


def test_threads_of_a_worker_have_a_workspace_each(tmp_path: Path) -> None:
    asked = spec(tmp_path, workers=2)
    engines = EngineFactory("cpu", "a test", lambda factory: CpuEngine())
    files = JobFiles(asked, lambda *_: None).inputs
    job = worker_job(asked, files, (), tmp_path, engines, 2)
    meet = Barrier(2, timeout=30)

    def step(workspace: Workspace, item: Item) -> int:
        meet.wait()
        return id(workspace)

    def both() -> set[int]:
        with ThreadPoolExecutor(2) as threads:
            return set(threads.map(lambda _: cluster._run(job, step, 0, {}), range(2)))

    first = both()
    assert len(first) == 2 and all(isinstance(made, int) for made in first), first
    assert both() == first, "and they go from task to task"
