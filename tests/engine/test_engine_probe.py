"""The probe of the GPU libraries, and what the doctor makes of it, on machines without them."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from forge_gpu.engine.gpu.start import current_gpu, ordinal
from forge_gpu.hardware.gpus import GPU
from forge_gpu.hardware.stack import PROBE, start_stack


def test_the_probe_is_a_module_of_the_engine_and_is_never_imported() -> None:
    assert PROBE not in sys.modules
    assert PROBE == "forge_gpu.engine.gpu.probe"


@pytest.mark.skipif("cudf" in sys.modules, reason="the GPU libraries are here")
def test_without_the_libraries_the_probe_says_one_line() -> None:
    fault = start_stack()
    if fault is None:
        pytest.skip("a GPU is here, and its libraries start")
    assert fault.startswith("the GPU libraries do not start: ") and "\n" not in fault


def runtime(*uuids: str) -> SimpleNamespace:
    return SimpleNamespace(
        getDeviceCount=lambda: len(uuids),
        getDeviceProperties=lambda number: {"uuid": bytes.fromhex(uuids[number].replace("-", ""))},
    )


def test_cuda_and_nvml_number_devices_differently() -> None:
    slow, fast = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
    device = GPU(0, "slow", f"GPU-{slow}", None, None, 0, 0, 0)
    assert ordinal(device, runtime(fast, slow)) == 1
    assert ordinal(device, runtime(slow, fast)) == 0
    assert ordinal(GPU(0, "a part", f"MIG-{slow}", None, None, 0, 0, 0, True), runtime(fast)) == 0


def test_frames_go_to_the_gpu_that_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
    gpus = [GPU(i, name, f"GPU-{name}", None, None, 0, 0, 0) for i, name in enumerate((slow, fast))]
    result = runtime(fast, slow)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=result)))
    for current, name in enumerate((fast, slow)):
        result.getDevice = lambda current=current: current
        assert current_gpu(gpus).name == name
