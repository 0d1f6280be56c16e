"""The probe of the GPU libraries, and what the doctor makes of it, on machines without them."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from forge_gpu.engine.gpu.start import current_gpu, ordinal
from forge_gpu.errors import ForgeError
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


def runtime(*devices: tuple[str, str]) -> SimpleNamespace:
    """CUDA with devices of these UUIDs and slots, as CuPy tells of them: a UUID as a C string."""
    return SimpleNamespace(
        getDeviceCount=lambda: len(devices),
        getDeviceProperties=lambda n: {"uuid": bytes.fromhex(devices[n][0].replace("-", "")).split(b"\0")[0]},
        deviceGetPCIBusId=lambda n: devices[n][1],
    )


SLOW, FAST = "a0000000-0000-0000-0000-00000000000a", "b0000000-0000-0000-0000-00000000000b"
HIDDEN = ("00f1a2b3-0000-0000-0000-00000000000c", "00f4a5b6-0000-0000-0000-00000000000d")  # a zero byte first


def test_cuda_and_nvml_number_devices_differently() -> None:
    device = GPU(0, "slow", f"GPU-{SLOW}", None, None, 0, 0, 0, pci="00000000:3B:00.0")
    fast, slow = (FAST, "0000:86:00.0"), (SLOW, "0000:3b:00.0")
    assert ordinal(device, runtime(fast, slow)) == 1
    assert ordinal(device, runtime(slow, fast)) == 0
    with pytest.raises(ForgeError, match="CUDA does not show GPU 0, GPU-a0000000"):
        ordinal(device, runtime(fast))


def test_where_a_uuid_begins_with_a_zero_byte_the_slot_decides() -> None:
    slots = "0000:3b:00.0", "0000:86:00.0"
    shown = runtime(*zip(HIDDEN, slots, strict=True))
    for number, (uuid, slot) in enumerate(zip(HIDDEN, slots, strict=True)):
        device = GPU(0, "a GPU", f"GPU-{uuid}", None, None, 0, 0, 0, pci=f"0000{slot.upper()}")
        assert ordinal(device, shown) == number
    unknown = GPU(0, "a GPU", f"GPU-{HIDDEN[0]}", None, None, 0, 0, 0)
    with pytest.raises(ForgeError, match="does not show"):
        ordinal(unknown, shown)


@pytest.mark.parametrize("uuid", [f"MIG-{SLOW}", "MIG-GPU-a0000000/1/0"])
def test_an_instance_of_mig_is_found_by_the_slot_of_its_gpu(uuid: str) -> None:
    part = GPU(1, "a part", uuid, None, None, 0, 0, 0, True, "00000000:86:00.0")
    assert ordinal(part, runtime((FAST, "0000:86:00.0"))) == 0


def test_frames_go_to_the_gpu_that_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [GPU(i, name, f"GPU-{name}", None, None, 0, 0, 0) for i, name in enumerate((SLOW, FAST))]
    result = runtime((FAST, ""), (SLOW, ""))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=result)))
    for current, name in enumerate((FAST, SLOW)):
        result.getDevice = lambda current=current: current
        assert current_gpu(gpus).name == name
