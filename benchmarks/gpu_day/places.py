"""Where the day's kernels and engines run: a GPU, or numba's simulator in a dry run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any


def simulated(limit: int | None = None) -> Any:
    """The simulator's device of the tests, as kernels and engines want it. limit: bytes of an allocation."""
    from tests.kernels.simulated_device import SimulatedDevice
    from tests.kernels.simulated_engine import Entered

    return Entered(SimulatedDevice(limit))


def simulated_parquet(codecs: Collection[str] = ("SNAPPY",)) -> Any:
    """What decodes Parquet of some compressions for an engine on the simulator's device."""
    from tests.kernels.simulated_parquet import SimulatedParquet

    return SimulatedParquet(codecs=codecs)


def kernel_device(dry: bool) -> Any:
    """A device for kernels, entered."""
    if dry:
        return simulated()
    import cupy

    from forge_gpu.engine.gpu.device import CupyDevice

    return CupyDevice(0, cupy.get_default_memory_pool().malloc).__enter__()


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """What one call gives, and its time."""
    began = time.perf_counter()
    result = work(*arguments, **options)
    return result, time.perf_counter() - began


def seconds(work: Callable[[], object], dry: bool, runs: int = 5) -> float:
    """The least time of some runs, after one that compiles; until the device has done the work."""
    if dry:
        runs = 1

    def settled() -> None:
        if not dry:
            import cupy

            cupy.cuda.runtime.deviceSynchronize()

    work()
    settled()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        settled()
        times.append(time.perf_counter() - began)
    return min(times)
