"""A worker a GPU: how dask-cuda's LocalCUDACluster is made, out of the memory that is free on the GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from forge_gpu.engine.gpu.budget import gpu_budget
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.hardware.gpus import GPU, most_free
from forge_gpu.plain import frozen


@frozen
class CudaWorkers:
    """One worker on each of `gpus`, of `threads` threads with an engine each. pool: bytes of device memory
    that a worker's engines share; there is no other pool on its GPU."""

    gpus: tuple[GPU, ...]
    threads: int
    pool: int

    @classmethod
    def of(cls, workers: int, gpus: Sequence[GPU], threads: int) -> CudaWorkers:
        """As many workers as are asked for, on the GPUs with most free memory, all with the share of the
        one that has least. threads: of the job, which are dealt out to its workers. Raises ConfigError where
        there are fewer GPUs, or too little memory."""
        if workers > len(gpus):
            raise ConfigError(
                f"workers is {workers}, but a worker takes a GPU of its own and {len(gpus)} can be used: "
                f"ask for {len(gpus)}, or set preprocessing.engine to cpu"
            )
        chosen = most_free(gpus, workers)
        of_each = max(threads // workers, 1)
        budget = gpu_budget([gpu.vram_free for gpu in chosen], workers * (of_each + 1))
        return cls(chosen, of_each, min(budget.pools))

    def arguments(self) -> dict[str, Any]:
        """Those of LocalCUDACluster. Memory of the host and the devices is bounded by the job's own budget,
        not by Dask: results are arrays of the host, and cuDF works in the engines' pool."""
        return {
            "CUDA_VISIBLE_DEVICES": [gpu.uuid or str(gpu.index) for gpu in self.gpus],
            "n_workers": len(self.gpus),
            "threads_per_worker": self.threads,
            "memory_limit": 0,
            "device_memory_limit": None,
        }

    def start(self, **options: Any) -> Any:
        """The running cluster. Raises ForgeError with what is missing."""
        try:
            made: Any = import_module("dask_cuda").LocalCUDACluster
        except ImportError:
            raise ForgeError(
                "workers on GPUs need dask-cuda: pip install 'forge-gpu[cu13]' (cu12 for an older driver), "
                "or set preprocessing.engine to cpu"
            ) from None
        try:
            return made(**self.arguments(), **options)
        except Exception as fault:  # what CUDA, NVML and RMM raise is their own
            message = " ".join(str(fault).split())[:200] or type(fault).__name__
            raise ForgeError(
                f"the workers on GPUs do not start: {message}; 'forge doctor' says what is missing, or set "
                "preprocessing.engine to cpu"
            ) from fault
