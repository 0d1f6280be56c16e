import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.errors import ConfigError
from forge_gpu.hardware.budget import cpu_budget, peak_factors
from forge_gpu.hardware.host import Cores, Memory

MIB = 2**20


def memory(available: int, total: int | None = None) -> Memory:
    return Memory(total or available, available, None)


def test_the_default_keeps_a_run_under_300_mb():
    budget = cpu_budget(memory(64 * 1024 * MIB), Cores(2, 2, None))
    assert budget.bytes == 128 * MIB


def test_little_memory_gives_a_share_of_it():
    assert cpu_budget(memory(200 * MIB), Cores(1, 1, None)).bytes == 50 * MIB


def test_a_cap_is_taken_as_it_is():
    assert cpu_budget(memory(1024 * MIB), Cores(1, 1, None), cap=512 * MIB).bytes == 512 * MIB


def test_a_cap_above_the_machine_is_refused():
    with pytest.raises(ConfigError, match=r"preprocessing\.memory\.budget"):
        cpu_budget(memory(1024 * MIB), Cores(1, 1, None), cap=2048 * MIB)


@given(
    cap=st.integers(16 * MIB, 4096 * MIB),
    cores=st.integers(1, 256),
    threads=st.one_of(st.just("auto"), st.integers(1, 512)),
)
def test_the_chunks_of_all_threads_fit_and_threads_stay_below_the_cores(cap, cores, threads):
    budget = cpu_budget(memory(8192 * MIB), Cores(cores, cores, None), cap, threads)
    table = peak_factors()
    worker = max(sum(stages.values()) for stages in table["passes"].values())
    assert budget.chunk_bytes * budget.threads * worker <= cap
    assert 1 <= budget.threads <= min(cores, cores if threads == "auto" else threads)
    assert table["chunk"]["least"] <= budget.chunk_bytes <= table["chunk"]["most"]


def test_without_any_probe_there_is_still_a_budget():
    budget = cpu_budget(None, None)
    assert (budget.bytes, budget.threads) == (128 * MIB, 1)
