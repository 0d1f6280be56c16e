"""What a start costs: the package and `forge --help` load no heavy library."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

HEAVY = ("numba", "pandas", "pyarrow", "dask", "cudf")
HELP = "import sys\nsys.argv = ['forge', '--help']\nfrom forge_gpu.cli.app import main\n"
MOST_STARTS = 6
"""`forge --help`, in starts of a bare interpreter. Measured: 3; with pyarrow loaded as well, 8."""


def loaded_by(code: str) -> set[str]:
    reported = "import atexit, json, sys\n" + (
        "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    )
    done = subprocess.run([sys.executable, "-c", reported + code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import forge_gpu", HELP + "main()"], ids=["import", "help"])
def test_a_start_loads_nothing_heavy(code):
    assert loaded_by(code).isdisjoint(HEAVY)


def test_what_is_loaded_would_be_noticed():
    assert not loaded_by("import forge_gpu.job.output.ledger").isdisjoint(HEAVY)


def fastest(codes: list[str], rounds: int = 7) -> list[float]:
    """Seconds of the fastest run of each, taken in turns: what other work on the machine disturbed least."""
    seconds = [float("inf")] * len(codes)
    for _ in range(rounds):
        for number, code in enumerate(codes):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
            seconds[number] = min(seconds[number], time.perf_counter() - began)
    return seconds


def test_help_takes_a_few_starts_of_the_interpreter():
    reported, bare = fastest([HELP + "main()", "pass"])
    assert reported < MOST_STARTS * bare
