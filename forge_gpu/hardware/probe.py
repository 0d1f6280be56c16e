"""What the machine has. A reading that fails is a line of `notes`, never an exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from forge_gpu.hardware.gpus import GPU, GPUs, read_gpus
from forge_gpu.hardware.host import Cores, Disk, Memory, read_cores, read_disk, read_memory
from forge_gpu.plain import frozen

Reading = TypeVar("Reading")


@frozen
class Hardware:
    """`cores`, `memory` and `disk` are None where they could not be read; `notes` says why."""

    cores: Cores | None
    memory: Memory | None
    disk: Disk | None
    gpus: GPUs
    notes: tuple[str, ...] = ()

    @property
    def best_gpu(self) -> GPU | None:
        """The visible device with the most memory, the first of equals."""
        return max(self.gpus.devices, key=lambda device: device.vram_total, default=None)


def probe(folder: Path | str = ".", root: Path = Path("/"), nvml: Any = None) -> Hardware:
    """Look at the machine.

    folder: where output will go; its disk is measured. root: the folder below which /proc and
    /sys/fs/cgroup are read. nvml: as for `read_gpus`.
    """
    notes: list[str] = []

    def reading(what: str, read: Callable[[], Reading]) -> Reading | None:
        try:
            return read()
        except Exception as error:  # whatever it is, planning goes on without the figure
            notes.append(f"{what} could not be read ({type(error).__name__}: {error})")
            return None

    cores = reading("CPU cores", lambda: read_cores(root))
    memory = reading("memory", lambda: read_memory(root))
    disk = reading("free disk space", lambda: read_disk(Path(folder)))
    gpus = read_gpus(nvml)
    return Hardware(cores, memory, disk, gpus, (*notes, *gpus.notes))
