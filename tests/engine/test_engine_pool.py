"""The job's pool as the device's current resource: for the calls that need it, and back again."""

from __future__ import annotations

import sys
from threading import Event, Thread
from types import ModuleType
from typing import Any

import pytest

from forge_gpu.engine.gpu.pool import BudgetedPool


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The current resource of each device, by rmm's own functions."""
    result: dict[int, Any] = {0: "the process's", 1: "the other device's"}
    rmm, mr = ModuleType("rmm"), ModuleType("rmm.mr")
    rmm.mr = mr  # type: ignore[attr-defined]
    made: dict[str, Any] = {
        "CudaMemoryResource": object,
        "PoolMemoryResource": lambda upstream, **sizes: object(),
        "StatisticsResourceAdaptor": lambda upstream: object(),
        "get_per_device_resource": result.__getitem__,
        "set_per_device_resource": result.__setitem__,
    }
    for name, value in made.items():
        setattr(mr, name, value)
    monkeypatch.setitem(sys.modules, "rmm", rmm)
    monkeypatch.setitem(sys.modules, "rmm.mr", mr)
    return result


def test_the_pool_is_current_while_someone_is_inside(current: dict[int, Any]) -> None:
    pool = BudgetedPool(0, 2**20)
    with pool.as_current():
        with pool.as_current():
            assert current[0] is pool.resource
        assert current == {0: pool.resource, 1: "the other device's"}
    assert current[0] == "the process's"
    with pytest.raises(MemoryError), pool.as_current():
        raise MemoryError
    assert current[0] == "the process's"


def test_the_pool_of_another_job_waits(current: dict[int, Any]) -> None:
    first, second, elsewhere = (BudgetedPool(number, 2**20) for number in (0, 0, 1))
    entered = Event()

    def enter() -> None:
        with second.as_current():
            assert current[0] is second.resource
            entered.set()

    thread = Thread(target=enter)
    with first.as_current(), elsewhere.as_current():
        thread.start()
        assert not entered.wait(0.05)
        assert current == {0: first.resource, 1: elsewhere.resource}
    thread.join(5)
    assert entered.is_set() and current == {0: "the process's", 1: "the other device's"}
