"""Jobs in a process of its own: first a small one, which loads libraries and kernels, then those that are
measured, when its parent says so. Called by `memory.py` and `growth.py`: no command for people."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from forge_gpu.hardware.unused import give_back_large


def run(plan: dict[str, object], folder: Path) -> tuple[str, int]:
    """Whether a job of a plan ended or was refused, and its rows."""
    from forge_gpu.config.schema import Config
    from forge_gpu.engine.cpu.engine import CpuEngine
    from forge_gpu.errors import ForgeError
    from forge_gpu.hardware.budget import cpu_budget
    from forge_gpu.job.prepare import prepare
    from forge_gpu.job.state.spec import JobSpec

    config = Config.model_validate(plan)
    memory = config.preprocessing.memory
    budget = cpu_budget(None, None, memory.budget, memory.threads)
    try:
        result = prepare(JobSpec(config, folder, folder), budget, CpuEngine, lambda event: None, lambda: None)
    except (ForgeError, MemoryError) as fault:
        return f"{type(fault).__name__}: {fault}", 0
    return "done", sum(result.counts.values())


def status(name: str) -> int:
    """A line of this process's status, in bytes."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def measured(plan: dict[str, object], folder: Path) -> dict[str, object]:
    """How a job of a plan ended, and the seconds that it took of the clock and of the processor."""
    began, worked = time.monotonic(), time.process_time()
    end, rows = run(plan, folder)
    seconds, cpu = time.monotonic() - began, time.process_time() - worked
    return {"end": end, "rows": rows, "seconds": seconds, "cpu": cpu}


def main() -> None:
    """A line asks for the small job; each line behind it for one that is measured."""
    give_back_large()  # as the command line does
    request = json.loads(sys.stdin.readline())
    folder = Path(request["folder"])
    run(request["small"], folder / "small")
    before = {name: status(name) for name in ("RssAnon", "VmData")}
    print(json.dumps(before), flush=True)
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        if (limit := request.get("limit")) is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        print(json.dumps(measured(request["plan"], folder / f"large{number}")), flush=True)


if __name__ == "__main__":
    main()
