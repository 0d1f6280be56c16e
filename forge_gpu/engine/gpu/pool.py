"""Device memory inside a budget: an RMM pool of this job's own, never the process's global resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FIRST_SHARE = 4
"""The pool starts with a quarter of its budget and grows."""

GRAIN = 256


class BudgetedPool:
    """At most `budget` bytes of one GPU. What does not fit raises MemoryError; `peak` is the most it had."""

    def __init__(self, number: int, budget: int) -> None:
        import rmm.mr

        budget = budget // GRAIN * GRAIN
        pool = rmm.mr.PoolMemoryResource(
            rmm.mr.CudaMemoryResource(),
            initial_pool_size=max(budget // FIRST_SHARE // GRAIN * GRAIN, GRAIN),
            maximum_pool_size=budget,
        )
        self.number = number
        self.budget = budget
        self._resource = rmm.mr.StatisticsResourceAdaptor(pool)

    @property
    def peak(self) -> int:
        """The most bytes in use at once so far."""
        return int(self._resource.allocation_counts.peak_bytes)

    @property
    def allocator(self) -> Callable[[int], Any]:
        """An allocator as cupy takes one."""
        import cupy
        import rmm
        from rmm.pylibrmm.stream import Stream

        def allocate(size: int) -> Any:
            stream = Stream(cupy.cuda.get_current_stream())  # it is given back on this one too
            buffer = rmm.DeviceBuffer(size=size, stream=stream, mr=self._resource)
            memory = cupy.cuda.UnownedMemory(buffer.ptr, buffer.size, buffer, self.number)
            return cupy.cuda.MemoryPointer(memory, 0)

        return allocate
