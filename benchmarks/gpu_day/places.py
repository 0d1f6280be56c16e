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


def kernel_device(dry: bool, apart: bool = False) -> Any:
    """A device for kernels, entered. apart: every buffer is an allocation of CUDA's, so that memcheck sees
    what is outside of it."""
    if dry:
        return simulated()
    import cupy

    from forge_gpu.engine.gpu.device import CupyDevice

    def plain(size: int) -> Any:
        return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)

    return CupyDevice(0, plain if apart else cupy.get_default_memory_pool().malloc).__enter__()


class Stopwatch:
    """A device that times every launch by CUDA's events: what the host does counts for nothing."""

    def __init__(self, device: Any, dry: bool) -> None:
        self._device, self._dry = device, dry
        self._launches: list[tuple[str, Any, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def launch(self, made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        began = self._mark()
        self._device.launch(made, threads, *arguments, block=block)
        name = getattr(made, "py_func", getattr(made, "fn", made)).__name__
        self._launches.append((name, began, self._mark()))

    def _mark(self) -> Any:
        if self._dry:
            return time.perf_counter()
        import cupy

        return cupy.cuda.get_current_stream().record()

    def seconds(self) -> dict[str, float]:
        """By kernel, those since it was asked last."""
        result: dict[str, float] = {}
        for name, began, ended in self._launches:
            result[name] = result.get(name, 0.0) + self._between(began, ended)
        self._launches.clear()
        return result

    def _between(self, began: Any, ended: Any) -> float:
        if self._dry:
            return float(ended - began)
        import cupy

        ended.synchronize()
        return float(cupy.cuda.get_elapsed_time(began, ended)) / 1e3


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """What one call gives, and its time."""
    began = time.perf_counter()
    result = work(*arguments, **options)
    return result, time.perf_counter() - began


def seconds(work: Callable[[], object], dry: bool, runs: int = 5) -> float:
    """The least time of some runs, after one that compiles; until the device has done the work."""
    work()
    return min(_settled(work, dry) for _ in range(1 if dry else runs))


def kernel_seconds(
    work: Callable[[], object], watch: Stopwatch, dry: bool, runs: int = 5
) -> tuple[dict[str, float], float]:
    """(the device's time by kernel, all time with the host's) of the run whose kernels took least, after one
    that compiles and uploads."""
    work()
    watch.seconds()
    tries = [(_settled(work, dry), watch.seconds()) for _ in range(1 if dry else runs)]
    whole, kernels = min(tries, key=lambda made: sum(made[1].values()))
    return kernels, whole


def _settled(work: Callable[[], object], dry: bool) -> float:
    """Seconds until the device has done the work."""
    began = time.perf_counter()
    work()
    if not dry:
        import cupy

        cupy.cuda.runtime.deviceSynchronize()
    return time.perf_counter() - began
