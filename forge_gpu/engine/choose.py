"""Which engine runs, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from itertools import cycle
from threading import Lock
from typing import Any, Protocol

from forge_gpu.engine.base import Engine
from forge_gpu.engine.held import HeldChunks
from forge_gpu.engine.resilient import Health, ResilientEngine
from forge_gpu.errors import ForgeError
from forge_gpu.hardware import shares
from forge_gpu.hardware.budget import Budget
from forge_gpu.hardware.gpus import GPU, GPUs, in_one_process, read_gpus
from forge_gpu.hardware.host import read_cores
from forge_gpu.hardware.rates import read_rates, worth_gpu
from forge_gpu.hardware.stack import Stack, forget_starts, read_stack, start_stack_once
from forge_gpu.plain import mutable


class Pool(Protocol):
    """Memory of a device that engines share. Bytes: `budget`, the most it may have; `peak`, the most it had.
    held: what lies in it from one pass to the next."""

    held: HeldChunks

    @property
    def budget(self) -> int: ...

    @property
    def peak(self) -> int: ...


@mutable
class EngineFactory:
    """Makes engines, one for each thread. name: cpu or gpu; reason: one line, why it is that.

    gpus: the devices that GPU engines work on, in this process or in its workers. health: what happened to
    the engines that were made. pools: bytes of each device that engines may take, as `budget` found it;
    fixed_pools, where given, count instead. opened: the pools that engines have, by the number that CUDA
    gives the device.
    """

    name: str
    reason: str
    make: Callable[[EngineFactory], Engine]
    gpus: tuple[GPU, ...] = ()
    health: Health = field(default_factory=Health)
    pools: tuple[int, ...] = ()
    fixed_pools: tuple[int, ...] = ()
    opened: dict[int, Pool] = field(default_factory=dict)

    def __call__(self) -> Engine:
        return self.make(self)

    def on_host(self) -> EngineFactory:
        """What makes the engines of a process whose workers have the GPUs: none of theirs is opened in it."""
        return EngineFactory("cpu", "the CPU: the GPUs are the workers'", _cpu)

    def watch(self, on_halved: Callable[[int], None], on_fell_back: Callable[[str], None]) -> None:
        """Who is told the rows of each call that had to be halved, and why the engine was given up."""
        self.health.on_halved, self.health.on_fell_back = on_halved, on_fell_back

    def report(self) -> dict[str, Any]:
        """What the section `run` of the manifest says of the engines."""
        return {
            "engine_reason": self.reason,
            "rows_on_cpu": self.health.rows_on_cpu,
            "gpus": [
                {"gpu": number, "pool": pool.budget, "peak": pool.peak, "held": pool.held.peak}
                for number, pool in sorted(self.opened.items())
            ],
        }

    def budget(self, host: Budget, available: int | None) -> Budget:
        """The budget of a job on these engines. available: bytes of the host's memory, None where the plan
        sets the budget or they are not known. Raises ConfigError where a GPU has too little."""
        if self.name == "cpu":
            return host
        from forge_gpu.engine.gpu.budget import gpu_budget, with_gpu_chunks

        here = in_one_process(self.gpus)
        result = gpu_budget([gpu.vram_free for gpu in here], host.threads + 1)
        self.pools = self.fixed_pools or result.pools
        host_bytes = (
            host.bytes if available is None else max(host.bytes, shares.HOST_OF_GPU_JOB.of(available))
        )
        return with_gpu_chunks(host, result, host_bytes)


def engine_factory(
    requested: str,
    size: Callable[[], int | None] = lambda: None,
    gpus: Callable[[], GPUs] = read_gpus,
    stack: Callable[[GPUs], Stack] = read_stack,
    start: Callable[[GPUs, Stack], str | None] = start_stack_once,
) -> EngineFactory:
    """What makes engines. requested: auto, cpu or gpu. size: tells the bytes of input, None where not known;
    it is asked where `auto` finds a GPU.

    gpus, stack, start: how the machine is asked. Raises ForgeError where the GPU was asked for and cannot be
    used.
    """
    if requested == "cpu":
        return EngineFactory("cpu", "the CPU, as asked for", _cpu)
    result = gpus()
    if requested == "auto" and result.devices:
        bytes_of_input = size()
        if bytes_of_input is not None and bytes_of_input < worth_gpu(read_rates(), read_cores().allowed):
            much = f"{bytes_of_input / 2**20:.0f} MiB of input"
            return EngineFactory("cpu", f"the CPU: {much} is less than a GPU is worth starting for", _cpu)
    obstacle = _obstacle(result, stack, start)
    if obstacle is None:
        why = "as asked for" if requested == "gpu" else "it can be used and its libraries start"
        names = ", ".join(gpu.name for gpu in result.devices)
        return EngineFactory("gpu", f"the GPU ({names}): {why}", gpu_maker(result.devices), result.devices)
    if requested == "gpu":
        raise ForgeError(
            f"preprocessing.engine is gpu, but {obstacle}; 'forge doctor' says what is missing, "
            "or set it to auto or cpu"
        )
    return EngineFactory("cpu", f"the CPU: {obstacle}", _cpu)


def _obstacle(
    gpus: GPUs, stack: Callable[[GPUs], Stack], start: Callable[[GPUs, Stack], str | None]
) -> str | None:
    """Why no GPU can be used; the cheap questions first."""
    if not gpus.devices:
        return next((note for note in gpus.notes if "GPU" in note), "no GPU was found")
    result = stack(gpus)
    if result.reason:
        return result.reason
    if result.missing:
        return f"{', '.join(result.missing)} not installed: {result.install_command}"
    return start(gpus, result)


def _cpu(factory: EngineFactory) -> Engine:
    from forge_gpu.engine.cpu.engine import CpuEngine

    return CpuEngine()


def gpu_maker(gpus: Sequence[GPU]) -> Callable[[EngineFactory], Engine]:
    """Engines on the devices in turn, each backed by one of the CPU; that alone where none can be made."""
    here = in_one_process(gpus)
    turns = cycle(range(len(here)))
    lock = Lock()

    def make(factory: EngineFactory) -> Engine:
        from forge_gpu.engine.cpu.engine import CpuEngine

        safe = CpuEngine()
        if factory.health.failure:
            return safe
        try:
            from forge_gpu.engine.gpu.start import open_engine

            with lock:
                turn = next(turns)
                pool = factory.pools[turn] if factory.pools else None
                engine = open_engine(here[turn], pool, factory.opened)
            return ResilientEngine(engine, safe, factory.health)
        except Exception as error:
            factory.health.failed(error)
            forget_starts()
            return safe

    return make
