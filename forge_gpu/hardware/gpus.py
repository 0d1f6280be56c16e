"""GPUs through NVML. Nothing of CUDA is loaded: NVML belongs to the driver and answers without a context."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from forge_gpu.plain import frozen

ARCHITECTURES = {
    5: "Maxwell",
    6: "Pascal",
    7: "Volta",
    8: "Ampere",
    9: "Hopper",
    10: "Blackwell",
    12: "Blackwell",
}


@frozen
class GPU:
    """A device that work can run on: a whole GPU, or one MIG instance of one. Memory in bytes."""

    index: int  # of the GPU, as NVML counts
    name: str
    uuid: str
    architecture: str | None
    compute_capability: tuple[int, int] | None
    vram_total: int
    vram_free: int
    used_by_others: int  # by processes that are not this one
    is_mig: bool = False
    pci: str = ""  # the slot of the GPU, as domain:bus:device.function; empty where it is not known


@frozen
class GPUs:
    """`devices` are those that CUDA_VISIBLE_DEVICES leaves; `hidden` counts the others."""

    devices: tuple[GPU, ...] = ()
    hidden: int = 0
    driver: str | None = None
    cuda: tuple[int, int] | None = None  # the newest version that the driver runs
    notes: tuple[str, ...] = ()


def read_gpus(nvml: Any = None, environ: Mapping[str, str] = os.environ) -> GPUs:
    """All devices. Whatever fails becomes a line of `notes`; nothing is raised.

    nvml: the pynvml module, or an object with its functions.
    """
    try:
        nvml = _nvml() if nvml is None else nvml
        nvml.nvmlInit()
    except Exception as error:
        return GPUs(notes=(f"no GPU: NVML did not start ({_say(error)}); is an NVIDIA driver installed?",))
    try:
        return _visible(_read(nvml), environ.get("CUDA_VISIBLE_DEVICES"))
    finally:
        try:
            nvml.nvmlShutdown()
        except Exception:
            pass  # nothing was kept that a failed shutdown could spoil


def _nvml() -> Any:
    """The pynvml module. Raises OSError where there is no driver, before the import, which takes a while."""
    if sys.platform == "linux":
        ctypes.CDLL("libnvidia-ml.so.1")
    return importlib.import_module("pynvml")


def _read(nvml: Any) -> GPUs:
    notes: list[str] = []

    def ask(what: str, question: Callable[[], Any], otherwise: Any = None) -> Any:
        try:
            return question()
        except Exception as error:
            notes.append(f"GPU probe: {what} is not known ({_say(error)})")
            return otherwise

    driver = ask("the driver version", lambda: _text(nvml.nvmlSystemGetDriverVersion()))
    cuda = ask("the CUDA version", nvml.nvmlSystemGetCudaDriverVersion_v2)
    devices: list[GPU] = []
    for index in range(ask("the number of GPUs", nvml.nvmlDeviceGetCount, 0)):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except Exception as error:
            notes.append(f"GPU {index} does not answer ({_say(error)})")
            continue
        devices += _devices_of(nvml, index, handle, ask)
    return GPUs(tuple(devices), 0, driver, cuda and (cuda // 1000, cuda % 1000 // 10), tuple(notes))


def _devices_of(nvml: Any, index: int, handle: Any, ask: Callable[..., Any]) -> list[GPU]:
    """The GPU itself; or, in MIG mode, its instances: the whole cannot be used then."""
    name = ask(f"the name of GPU {index}", lambda: _text(nvml.nvmlDeviceGetName(handle)), f"GPU {index}")
    capability = ask(
        f"the compute capability of GPU {index}",
        lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )
    pci = ask(f"the slot of GPU {index}", lambda: _text(nvml.nvmlDeviceGetPciInfo(handle).busId), "")
    whole = GPU(index, name, "", _architecture(capability), capability, 0, 0, 0, pci=pci)
    if not _in_mig_mode(nvml, handle):
        return [_measured(nvml, whole, handle, f"GPU {index}", ask)]
    instances = []
    for slot in range(
        ask(f"the MIG slots of GPU {index}", lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle), 0)
    ):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
        except Exception:
            continue  # an empty slot: NVML has no list of those in use
        where = f"MIG instance {slot} of GPU {index}"
        named = replace(
            whole, name=ask(f"the name of {where}", lambda i=instance: _text(nvml.nvmlDeviceGetName(i)), name)
        )
        instances.append(replace(_measured(nvml, named, instance, where, ask), is_mig=True))
    return instances


def _measured(nvml: Any, device: GPU, handle: Any, where: str, ask: Callable[..., Any]) -> GPU:
    memory = ask(f"the memory of {where}", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    running = ask(f"the processes of {where}", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle), [])
    return replace(
        device,
        uuid=ask(f"the UUID of {where}", lambda: _text(nvml.nvmlDeviceGetUUID(handle)), ""),
        vram_total=memory.total if memory else 0,
        vram_free=memory.free if memory else 0,
        # NVML says None for a process of another container
        used_by_others=sum(p.usedGpuMemory or 0 for p in running if p.pid != os.getpid()),
    )


def _in_mig_mode(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except Exception:
        return False  # most GPUs have no such mode and say "not supported"


def in_one_process(devices: Sequence[GPU]) -> tuple[GPU, ...]:
    """Those that CUDA shows to one process: all GPUs, or the first instance of MIG where there is one."""
    instances = [device for device in devices if device.is_mig]
    return tuple(instances[:1] or devices)


def most_free(devices: Sequence[GPU], count: int) -> tuple[GPU, ...]:
    """The `count` devices with the most free memory."""
    return tuple(sorted(devices, key=lambda device: -device.vram_free)[:count])


def _visible(gpus: GPUs, names: str | None) -> GPUs:
    """What CUDA_VISIBLE_DEVICES leaves: indices or starts of UUIDs, up to the first that names nothing."""
    if names is None:
        return gpus
    visible: list[GPU] = []
    for name in (part.strip() for part in names.split(",")):
        matches = [device for device in gpus.devices if _is_named(device, name) and device not in visible]
        if not matches:
            break
        visible.append(matches[0])
    hidden = len(gpus.devices) - len(visible)
    notes = gpus.notes
    if hidden:
        notes = (
            *notes,
            f"CUDA_VISIBLE_DEVICES={names!r} hides {hidden} of {len(gpus.devices)} GPU devices",
        )
    return replace(gpus, devices=tuple(visible), hidden=hidden, notes=notes)


def _is_named(device: GPU, name: str) -> bool:
    if name.isdecimal():
        return device.index == int(name)
    return bool(name) and name.startswith(("GPU-", "MIG-")) and device.uuid.startswith(name)


def _architecture(capability: tuple[int, int] | None) -> str | None:
    if capability is None:
        return None
    special = {(7, 5): "Turing", (8, 9): "Ada"}
    return special.get(capability) or ARCHITECTURES.get(capability[0])


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
