"""benchmarks/gpu_day.sh runs as far as a machine without a GPU can; parity has tests of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.sim
def test_a_dry_day_has_no_failed_row() -> None:
    command = [
        "bash",
        "benchmarks/gpu_day.sh",
        "--dry",
        "machine",
        "kernels",
        "parquet",
        "frames",
        "job",
        "memory",
        "several",
    ]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " 0 failed" in done.stdout.splitlines()[-1]
    assert "halvings" in done.stdout and "whole job, parquet" in done.stdout and "duplicate_of" in done.stdout
    assert "Parquet, zstd" in done.stdout and "after a damaged page" in done.stdout
