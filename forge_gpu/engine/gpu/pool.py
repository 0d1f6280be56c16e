"""Device memory inside a budget: an RMM pool of this job's own, never the process's global resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any

from forge_gpu.engine.held import HeldChunks
from forge_gpu.hardware import shares
from forge_gpu.plain import mutable

GRAIN = 256


_CHANGED = Condition()


@mutable
class _Turn:
    """A pool that is a device's current resource: whose it is, for how many, and what was before it."""

    pool: BudgetedPool
    before: Any
    users: int = 0


_TURNS: dict[int, _Turn] = {}


class BudgetedPool:
    """At most `budget` bytes of one GPU. What does not fit raises MemoryError; `peak` is the most it had.
    held: what lies in it from one pass to the next."""

    def __init__(self, number: int, budget: int) -> None:
        import rmm.mr

        budget = budget // GRAIN * GRAIN
        pool = rmm.mr.PoolMemoryResource(
            rmm.mr.CudaMemoryResource(),
            initial_pool_size=max(shares.POOL_AT_START.of(budget) // GRAIN * GRAIN, GRAIN),
            maximum_pool_size=budget,
        )
        self.number = number
        self.budget = budget
        self.held = HeldChunks()
        self.resource = rmm.mr.StatisticsResourceAdaptor(pool)

    @property
    def peak(self) -> int:
        """The most bytes in use at once so far."""
        return int(self.resource.allocation_counts.peak_bytes)

    @contextmanager
    def as_current(self) -> Iterator[None]:
        """The device's current resource is this pool, for as long as one of several threads is inside.

        A call of cuDF's takes its result from the resource that it is given, but what it needs meanwhile from
        the current one, which is the process's. While that is ours, what another thread allocates on this
        device without saying where counts against this budget. Another job's pool waits.
        """
        import rmm.mr

        with _CHANGED:
            _CHANGED.wait_for(lambda: self.number not in _TURNS or _TURNS[self.number].pool is self)
            turn = _TURNS.get(self.number)
            if turn is None:
                turn = _Turn(self, rmm.mr.get_per_device_resource(self.number))
                rmm.mr.set_per_device_resource(self.number, self.resource)
                _TURNS[self.number] = turn
            turn.users += 1
        try:
            yield
        finally:
            with _CHANGED:
                turn.users -= 1
                if turn.users == 0:
                    rmm.mr.set_per_device_resource(self.number, turn.before)
                    del _TURNS[self.number]
                    _CHANGED.notify_all()

    @property
    def allocator(self) -> Callable[[int], Any]:
        """An allocator as cupy takes one."""
        import cupy
        import rmm
        from rmm.pylibrmm.stream import Stream

        def allocate(size: int) -> Any:
            stream = Stream(cupy.cuda.get_current_stream())  # it is given back on this one too
            buffer = rmm.DeviceBuffer(size=size, stream=stream, mr=self.resource)
            memory = cupy.cuda.UnownedMemory(buffer.ptr, buffer.size, buffer, self.number)
            return cupy.cuda.MemoryPointer(memory, 0)

        return allocate
