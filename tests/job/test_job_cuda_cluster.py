"""A worker a GPU: the cluster's arguments out of what is free, and one line where it cannot be made."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.hardware.budget import Budget
from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.job.prepare import prepare
from forge_gpu.job.run import cluster
from forge_gpu.job.run.cluster import own_gpu, worker_job
from forge_gpu.job.run.cuda_cluster import GRAIN, CudaWorkers
from forge_gpu.job.state.spec import JobSpec
from tests.job import jobs


def gpu(number: int, free: int) -> GPU:
    return GPU(number, "H100", f"GPU-{number}", "Hopper", (9, 0), 80 * 2**30, free, 0)


GPUS = (gpu(0, 10 * 2**30), gpu(1, 70 * 2**30), gpu(2, 40 * 2**30 + 12345))


def test_each_worker_has_a_gpu_and_its_share() -> None:
    made = CudaWorkers.of(2, GPUS)
    assert made.arguments() == {
        "CUDA_VISIBLE_DEVICES": ["GPU-1", "GPU-2"],
        "n_workers": 2,
        "threads_per_worker": 1,
        "memory_limit": 0,
        "device_memory_limit": made.cudf_pool,
        "enable_cudf_spill": True,
        "rmm_pool_size": made.cudf_pool // 4 // GRAIN * GRAIN,
        "rmm_maximum_pool_size": made.cudf_pool,
    }
    assert made.engine_pool == (40 * 2**30 + 12345) // 2 // GRAIN * GRAIN
    assert made.engine_pool + made.cudf_pool < 0.75 * min(gpu.vram_free for gpu in made.gpus)


@pytest.mark.parametrize("free", [64 * 2**20, 2**30 + 1, 7 * 2**33 + 17])
def test_pools_are_aligned_and_inside_what_is_free(free: int) -> None:
    made = CudaWorkers.of(1, [gpu(0, free)])
    sizes = [made.engine_pool, made.cudf_pool, made.arguments()["rmm_pool_size"]]
    assert all(size > 0 and size % GRAIN == 0 for size in sizes)
    assert made.arguments()["rmm_pool_size"] <= made.cudf_pool
    assert made.engine_pool + made.cudf_pool < free


def test_more_workers_than_gpus_and_too_little_memory() -> None:
    with pytest.raises(ConfigError, match=r"workers is 4, .* 3 can be used: ask for 3, or set preprocessing"):
        CudaWorkers.of(4, GPUS)
    with pytest.raises(ConfigError, match="too little"):
        CudaWorkers.of(1, [gpu(0, 2**20)])


def test_the_arguments_are_those_of_dask_cuda() -> None:
    dask_cuda = pytest.importorskip("dask_cuda")
    inspect.signature(dask_cuda.LocalCUDACluster).bind(**CudaWorkers.of(2, GPUS).arguments())


def spec(tmp_path: Path, **options: Any) -> JobSpec:
    source = jobs.write_lines(tmp_path / "in.jsonl", jobs.rows(20))
    return JobSpec(jobs.plan(source), tmp_path, tmp_path / "out", **options)


def test_workers_of_this_machine_have_the_engine_of_the_job(tmp_path: Path) -> None:
    on_gpus = EngineFactory("gpu", "a test", lambda factory: CpuEngine(), GPUS)
    on_cpu = EngineFactory("cpu", "a test", lambda factory: CpuEngine())
    asked = spec(tmp_path, workers=2)
    assert worker_job(asked, (), (), tmp_path, on_gpus).cuda == CudaWorkers.of(2, GPUS)
    reported = worker_job(asked, (), (), tmp_path, on_cpu)
    assert (reported.engine, reported.cuda) == ("cpu", None)
    running = replace(asked, workers=None, scheduler="tcp://host:8786")
    reported = worker_job(running, (), (), tmp_path, on_gpus)
    assert (reported.engine, reported.cuda) == ("auto", None)


def test_the_cluster_is_made_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setitem(
        sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=lambda **a: made.append(a))
    )
    cluster._local_cluster(None, spec(tmp_path, workers=2), CudaWorkers.of(2, GPUS))
    assert made[0].items() >= CudaWorkers.of(2, GPUS).arguments().items()
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
