"""What part of the GPUs' memory a job takes, and how large its chunks are then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forge_gpu.errors import ConfigError
from forge_gpu.hardware.budget import Budget, peak_factors, worker_factor
from forge_gpu.plain import frozen

GRAIN = 65536


@frozen
class GpuBudget:
    """pools: bytes of each device. chunk_bytes: of input. reason: one line, why it is so much."""

    pools: tuple[int, ...]
    chunk_bytes: int
    reason: str


def gpu_budget(free: Sequence[int], engines: int) -> GpuBudget:
    """The budget of `engines` engines, dealt out in turn to devices with `free` bytes of free memory.

    Raises ConfigError where not even chunks of the least size fit.
    """
    table = peak_factors()["gpu"]
    pools = tuple(int(room * table["share"]) for room in free)
    factor = max(sum(stages.values()) for stages in table["passes"].values())
    sharing = -(-engines // len(pools))
    chunk = int(min(pools) / (sharing * factor)) // GRAIN * GRAIN
    if chunk < table["chunk"]["least"]:
        raise ConfigError(
            f"a GPU has {min(free) / 2**20:.0f} MiB of free memory, too little for {sharing} chunks of "
            f"{table['chunk']['least'] / 2**20:g} MiB; free some, or set preprocessing.engine to cpu"
        )
    reason = f"{table['share']:.0%} of the {min(free) / 2**20:.0f} MiB free on a GPU"
    return GpuBudget(pools, min(chunk, table["chunk"]["most"]), reason)


def with_gpu_chunks(host: Budget, gpu: GpuBudget, host_bytes: int) -> Budget:
    """The budget of a job on a GPU: chunks as large as its memory and `host_bytes` of the host's allow.

    A device wants larger chunks than a core's cache does: each call costs it the same, however small it is.
    """
    table = peak_factors()
    fits = int(host_bytes / (host.threads * worker_factor(table))) // GRAIN * GRAIN
    chunk = max(min(gpu.chunk_bytes, fits), table["chunk"]["least"])
    return replace(host, bytes=host_bytes, chunk_bytes=chunk, reason=f"{host.reason}; {gpu.reason}")
