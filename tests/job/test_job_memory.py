"""Memory: an input four times larger than the budget, under a limit that the kernel enforces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.job import jobs

ROOT = Path(__file__).parents[2]
BUDGET = 48 * 2**20
SLACK = 24 * 2**20  # RLIMIT_DATA counts address space that is never touched, too

SCRIPT = """
import json, resource, sys
from tests.job import jobs
from pathlib import Path
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import cpu_budget
from forge_gpu.job.events.memory import anonymous_memory
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec

small, large, folder = map(Path, sys.argv[1:])
jobs.run(jobs.plan(small), folder / "small")  # loads the libraries and the kernels
before = anonymous_memory()
status = dict(line.split(":") for line in open("/proc/self/status"))
limit = int(status["VmData"].split()[0]) * 1024 + {budget} + {slack}
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
peak = 0
def listen(event):
    global peak
    peak = max(peak, anonymous_memory())
spec = JobSpec(jobs.plan(large), folder, folder / "large")
result = prepare(spec, cpu_budget(None, None, {budget}, 1), CpuEngine, listen, lambda: None)
rows = sum(result.counts.values())
print(json.dumps({{"before": before, "peak": peak, "rows": rows, "streamed": result.used_streaming}}))
"""


@pytest.mark.slow
def test_an_input_four_times_the_budget_stays_within_it(tmp_path: Path) -> None:
    small = jobs.write_lines(tmp_path / "small.jsonl", jobs.rows(50))
    block = small.read_bytes()
    large = tmp_path / "large.jsonl"
    rows = 0
    with large.open("wb") as file:
        while file.tell() < 4 * BUDGET:
            file.write(block.replace(b"Task ", b"Task %d." % rows))
            rows += 50
    script = SCRIPT.format(budget=BUDGET, slack=SLACK)
    done = subprocess.run(
        [sys.executable, "-c", script, str(small), str(large), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},  # as the command line sets it
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == rows and result["streamed"]
    index = 17 * rows  # a hash and a reason each
    assert result["peak"] - result["before"] <= BUDGET + index, result
