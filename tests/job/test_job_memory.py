"""Memory: an input four times larger than the budget, under a limit that the kernel enforces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jobs
import pytest

BUDGET = 24 * 2**20

SCRIPT = """
import json, resource, sys
sys.path.insert(0, {helpers!r})
import jobs
from pathlib import Path
from forge_gpu.job.memory import anonymous_memory
from forge_gpu.hardware.budget import cpu_budget

small, large, folder = map(Path, sys.argv[1:])
jobs.run(jobs.plan(small), folder / "small")  # loads libraries and kernels
before = anonymous_memory()
limit = before + {budget} + 64 * 2**20  # RLIMIT_DATA counts address space that is never touched, too
resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
peak = 0
def listen(event):
    global peak
    peak = max(peak, anonymous_memory())
budget = cpu_budget(None, None, {budget}, 1)
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.job.prepare import prepare
from forge_gpu.job.spec import JobSpec
spec = JobSpec(jobs.plan(large), folder, folder / "large")
import forge_gpu.job.rows
result = prepare(spec, budget, CpuEngine, listen, lambda: None)
print(json.dumps({{"before": before, "peak": peak, "rows": sum(result.counts.values()), "streamed": result.used_streaming}}))
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
    script = SCRIPT.format(helpers=str(Path(jobs.__file__).parent), budget=BUDGET)
    done = subprocess.run(
        [sys.executable, "-c", script, str(small), str(large), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == rows and found["streamed"]
    assert found["peak"] - found["before"] <= BUDGET, found
