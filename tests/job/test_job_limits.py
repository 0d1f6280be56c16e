"""Memory: what a job takes is bounded by its budget, whatever the input, and by a limit of the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.limits.inputs import INPUTS
from benchmarks.limits.memory import allowed, measure

MIB = 2**20
MAPPED = 24 * MIB
"""RLIMIT_DATA counts address space that is never touched, too."""
BY_NAME = {case.name: case for case in INPUTS}
TABLE = [
    # input, budget, threads, scale
    ("repeated prompt", 32, 1, 0.1),
    ("uneven dictionary", 32, 1, 0.05),
    ("nested texts", 32, 1, 0.1),
    ("one row group", 32, 1, 1),
    ("long rows to Parquet", 32, 1, 0.25),
    ("tiny lines", 32, 1, 0.2),
    ("unclosed quote", 32, 1, 0.1),
    ("wide table", 48, 2, 0.1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "budget", "threads", "scale"), TABLE, ids=[row[0] for row in TABLE])
def test_a_job_takes_what_it_may(name: str, budget: int, threads: int, scale: float, tmp_path: Path) -> None:
    case = BY_NAME[name]
    most = allowed(case, budget * MIB, threads)
    taken = measure(case, budget * MIB, threads, tmp_path, most + MAPPED, scale)
    assert (taken.end == "done") != case.fails, taken
    assert taken.anonymous <= most, taken
