"""A process that holds more than its budget works on one range at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.job import index_pass
from forge_gpu.job.events import memory
from tests.job import jobs


def test_memory_beyond_the_budget_is_seen() -> None:
    is_short = memory.shortage_of(2**24)
    assert not is_short()
    held = np.ones(2**28, np.uint8)  # more than what tests before may have left to be freed
    assert is_short() and held.all()


@pytest.mark.parametrize(("held", "most"), [(0, 2), (2**40, 1)])
def test_a_job_that_holds_too_much_reads_one_range_at_a_time(
    held: int, most: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """held: bytes beyond what the process had before inputs were opened, and again before ranges are read."""
    asked, running, seen, lock = [0], [0], [0], threading.Lock()

    def taken() -> int:
        asked[0] += 1
        return 0 if asked[0] <= 2 else held

    real = index_pass.index_range

    def counted(*arguments: Any, **options: Any) -> Any:
        with lock:
            running[0] += 1
            seen.append(running[0])
        time.sleep(0.02)
        try:
            return real(*arguments, **options)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(memory, "anonymous_memory", taken)
    monkeypatch.setattr(index_pass, "index_range", counted)
    jobs.run(jobs.plan(source), tmp_path / "out", threads=2)
    assert max(seen) == most and len(seen) > 5
