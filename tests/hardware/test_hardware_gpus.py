import os
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from forge_gpu.hardware.gpus import GPU, in_one_process, most_free, read_gpus

GIB = 2**30


class NVMLError(Exception):
    pass


@dataclass
class Memory:
    total: int
    free: int


@dataclass
class Process:
    pid: int
    usedGpuMemory: int | None


@dataclass
class Device:
    name: str = "NVIDIA H100 80GB HBM3"
    uuid: str = "GPU-aaaa"
    capability: tuple[int, int] = (9, 0)
    memory: Memory = field(default_factory=lambda: Memory(80 * GIB, 70 * GIB))
    processes: list[Process] = field(default_factory=list)
    mig: list["Device | None"] | None = None
    pci: str = "00000000:3B:00.0"


class FakeNvml:
    """An object with the functions of pynvml; those named in `broken` raise."""

    def __init__(self, devices: list[Device], broken: tuple[str, ...] = ()):
        self.devices, self.broken, self.is_shut_down = devices, broken, False

    def __getattribute__(self, name):
        if name.startswith("nvml") and name in object.__getattribute__(self, "broken"):
            return self._raise
        return object.__getattribute__(self, name)

    def _raise(self, *arguments):
        raise NVMLError("Not Supported")

    def nvmlInit(self):
        pass

    def nvmlShutdown(self):
        self.is_shut_down = True

    def nvmlSystemGetDriverVersion(self):
        return b"580.65.06"

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return 13000

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.devices[index]

    def nvmlDeviceGetName(self, device):
        return device.name

    def nvmlDeviceGetUUID(self, device):
        return device.uuid

    def nvmlDeviceGetCudaComputeCapability(self, device):
        return device.capability

    def nvmlDeviceGetMemoryInfo(self, device):
        return device.memory

    def nvmlDeviceGetPciInfo(self, device):
        return SimpleNamespace(busId=device.pci.encode())

    def nvmlDeviceGetComputeRunningProcesses(self, device):
        return device.processes

    def nvmlDeviceGetMigMode(self, device):
        if device.mig is None:
            raise NVMLError("Not Supported")
        return (1, 1) if device.mig else (0, 0)

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return len(device.mig)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, slot):
        if device.mig[slot] is None:
            raise NVMLError("Not Found")
        return device.mig[slot]


def test_one_gpu():
    processes = [Process(os.getpid(), 5 * GIB), Process(1, 3 * GIB), Process(2, None)]
    nvml = FakeNvml([Device(processes=processes)])
    result = read_gpus(nvml, {})
    (gpu,) = result.devices
    assert (gpu.name, gpu.architecture, gpu.compute_capability) == ("NVIDIA H100 80GB HBM3", "Hopper", (9, 0))
    assert (gpu.vram_total, gpu.vram_free, gpu.used_by_others) == (80 * GIB, 70 * GIB, 3 * GIB)
    assert (result.driver, result.cuda, result.notes) == ("580.65.06", (13, 0), ())
    assert nvml.is_shut_down


def test_mig_instances_are_the_devices():
    small = Device("NVIDIA H100 MIG 1g.10gb", "MIG-1", memory=Memory(10 * GIB, 9 * GIB))
    large = Device("NVIDIA H100 MIG 3g.40gb", "MIG-2", memory=Memory(40 * GIB, 39 * GIB))
    result = read_gpus(FakeNvml([Device(mig=[small, None, large])]), {})
    assert [(gpu.uuid, gpu.vram_total, gpu.is_mig) for gpu in result.devices] == [
        ("MIG-1", 10 * GIB, True),
        ("MIG-2", 40 * GIB, True),
    ]
    assert {gpu.architecture for gpu in result.devices} == {"Hopper"}
    assert {gpu.pci for gpu in result.devices} == {"00000000:3B:00.0"}, "of the GPU that they are parts of"


def test_one_process_sees_all_gpus_or_one_instance():
    whole = [GPU(n, "a GPU", f"GPU-{n}", None, None, 0, n * GIB, 0) for n in range(3)]
    parts = [GPU(3, "a part", f"MIG-{n}", None, None, 0, GIB, 0, True) for n in range(2)]
    assert in_one_process(whole) == tuple(whole)
    assert in_one_process([whole[0], *parts]) == (parts[0],)
    assert in_one_process([]) == ()
    assert most_free(whole, 2) == (whole[2], whole[1])


FUNCTIONS = [name for name in dir(FakeNvml) if name.startswith("nvml")]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_one_failure_is_a_note_and_never_an_exception(function):
    result = read_gpus(FakeNvml([Device(mig=[Device(uuid="MIG-1")]), Device()], broken=(function,)), {})
    silent = {"nvmlShutdown", "nvmlDeviceGetMigMode", "nvmlDeviceGetMigDeviceHandleByIndex"}
    assert bool(result.notes) is (function not in silent)


def test_no_driver_is_one_note():
    result = read_gpus(FakeNvml([Device()], broken=("nvmlInit",)), {})
    assert result.devices == ()
    assert len(result.notes) == 1
    assert "NVML did not start" in result.notes[0]


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("1", ["GPU-b"]),
        ("2,0", ["GPU-c", "GPU-a"]),
        ("GPU-c", ["GPU-c"]),
        ("0,7,1", ["GPU-a"]),  # CUDA stops at the first that names nothing
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_hidden_gpus_cannot_be_used(visible, uuids):
    devices = [Device(uuid=f"GPU-{letter}") for letter in "abc"]
    result = read_gpus(FakeNvml(devices), {"CUDA_VISIBLE_DEVICES": visible})
    assert [gpu.uuid for gpu in result.devices] == uuids
    assert result.hidden == 3 - len(uuids)
    assert "CUDA_VISIBLE_DEVICES" in result.notes[-1]
