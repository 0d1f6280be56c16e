"""What the machine is, and whether the GPU libraries start."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from benchmarks.gpu_day.row import Row, held
from forge_gpu.hardware.gpus import read_gpus
from forge_gpu.hardware.stack import installed, start_stack


def rows(dry: bool) -> Iterator[Row]:
    gpus = read_gpus()
    yield Row("machine", "system", f"{platform.platform()}, Python {platform.python_version()}")
    yield Row("machine", "CPU cores", str(len(os.sched_getaffinity(0))))
    for gpu in gpus.devices:
        capability = ".".join(map(str, gpu.compute_capability or ()))
        memory = f"{gpu.vram_free / 2**30:.1f} of {gpu.vram_total / 2**30:.1f} GiB free"
        yield Row("machine", f"GPU {gpu.index}", f"{gpu.name}, {capability}, {memory}, driver {gpus.driver}")
    result = ", ".join(f"{library} {version}" for library, version in installed().items() if version)
    yield Row("machine", "libraries", result or "none")
    if not gpus.devices:
        note = next(iter(gpus.notes), "no GPU")
        yield Row("machine", "GPU", note, "not run" if dry else "FAILED")
        return
    fault = start_stack()
    yield Row("machine", "the GPU libraries start", fault or "yes", held(fault is None))
