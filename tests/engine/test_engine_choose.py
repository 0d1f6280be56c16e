"""Which engine runs, with machines that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forge_gpu.engine.choose import engine_factory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu.budget import gpu_budget
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.hardware.budget import Budget, peak_factors
from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.hardware.stack import Stack

GIB = 2**30
H100 = GPU(0, "a GPU", "GPU-1", "Hopper", (9, 0), 80 * GIB, 79 * GIB, 0)
FOUND = GPUs((H100,), 0, "580.1", (13, 0))
WHOLE = Stack({"cudf": "26.10", "cupy": "14.2"}, "cu13", None)
HOST = Budget(2**27, 4, 2**20, "a test")


def never(*_: object) -> str | None:
    raise AssertionError("nothing is to be started here")


@pytest.mark.parametrize(
    ("gpus", "stack", "start", "why"),
    [
        (GPUs(), WHOLE, never, "no GPU was found"),
        (GPUs(notes=("no GPU: NVML did not start (x)",)), WHOLE, never, "NVML did not start"),
        (FOUND, Stack({}, None, "driver 470 is below"), never, "driver 470 is below"),
        (FOUND, Stack({"cudf": None}, "cu13", None), never, "pip install 'forge-gpu[cu13]'"),
        (FOUND, WHOLE, lambda *_: "the GPU libraries do not start: boom", "boom"),
    ],
)
def test_what_stands_against_a_gpu(gpus, stack, start, why) -> None:
    result = engine_factory("auto", lambda: None, lambda: gpus, lambda _: stack, start)
    assert result.name == "cpu" and why in result.reason
    assert isinstance(result(), CpuEngine)
    with pytest.raises(ForgeError, match="forge doctor") as error:
        engine_factory("gpu", lambda: None, lambda: gpus, lambda _: stack, start)
    assert why in str(error.value) and "\n" not in str(error.value)


def test_a_gpu_that_can_be_used_is_taken() -> None:
    for required in ("auto", "gpu"):
        result = engine_factory(required, lambda: 2**50, lambda: FOUND, lambda _: WHOLE, lambda *_: None)
        assert result.name == "gpu" and "a GPU" in result.reason


def test_a_wish_for_the_cpu_asks_nothing() -> None:
    result = engine_factory("cpu", never, never, never, never)  # type: ignore[arg-type]
    assert result.name == "cpu"
    assert result.budget(HOST, None) is HOST


def test_small_input_starts_nothing() -> None:
    result = engine_factory("auto", lambda: 2**20, lambda: FOUND, lambda _: WHOLE, never)
    assert result.name == "cpu" and "1 MiB of input" in result.reason


def test_an_engine_that_cannot_be_made_is_the_cpus_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    result = engine_factory("gpu", lambda: None, lambda: FOUND, lambda _: WHOLE, lambda *_: None)
    reported: list[str] = []
    result.watch(lambda rows: None, reported.append)
    assert isinstance(result(), CpuEngine) and isinstance(result(), CpuEngine)
    assert len(reported) == 1 and "cupy" in reported[0]


def test_chunks_follow_the_free_memory_of_the_gpu() -> None:
    table = peak_factors()["gpu"]
    factor = max(sum(stages.values()) for stages in table["passes"].values())
    for free in (GIB, 8 * GIB, 80 * GIB):
        for engines in (1, 5):
            result = gpu_budget([free], engines)
            assert result.chunk_bytes * factor * engines <= sum(result.pools) <= free * table["share"]
            assert table["chunk"]["least"] <= result.chunk_bytes <= table["chunk"]["most"]
    assert gpu_budget([GIB], 5).chunk_bytes < gpu_budget([80 * GIB], 5).chunk_bytes
    assert gpu_budget([GIB, GIB], 4).chunk_bytes == gpu_budget([GIB], 2).chunk_bytes
    with pytest.raises(ConfigError, match="too little"):
        gpu_budget([2**20], 1)


def test_chunks_stay_within_the_hosts_memory() -> None:
    result = engine_factory("gpu", lambda: None, lambda: FOUND, lambda _: WHOLE, lambda *_: None)
    as_set = result.budget(HOST, None)
    assert as_set.bytes == HOST.bytes
    wide = result.budget(HOST, 64 * GIB)
    assert wide.chunk_bytes > as_set.chunk_bytes and wide.bytes == 16 * GIB
    assert result.pools == gpu_budget([79 * GIB], 5).pools


def test_engines_of_one_process_are_on_what_cuda_shows_it() -> None:
    instances = [replace(H100, uuid=f"MIG-{n}", is_mig=True, vram_free=(n + 1) * 8 * GIB) for n in range(3)]
    found = replace(FOUND, devices=(H100, *instances))
    result = engine_factory("gpu", lambda: None, lambda: found, lambda _: WHOLE, lambda *_: None)
    result.budget(HOST, 64 * GIB)
    assert result.pools == gpu_budget([8 * GIB], 5).pools
    assert result.gpus == found.devices, "workers may have the others"


def test_where_workers_have_the_gpus_their_process_opens_none() -> None:
    result = engine_factory("gpu", lambda: None, lambda: FOUND, lambda _: WHOLE, lambda *_: None)
    own = result.on_host()
    assert isinstance(own(), CpuEngine) and own.gpus == () and result.opened == {}
