"""What a process takes until it has loaded what a job needs: one is started to see, and the rates keep it."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from forge_gpu._version import __version__
from forge_gpu.config.schema import Config
from forge_gpu.config.write import save
from forge_gpu.hardware.rates import Launch, Rates, with_entry
from forge_gpu.job.state.digests import digest

LOADED = (
    "forge_gpu.cli.prepare",
    "forge_gpu.cli.listeners",
    "forge_gpu.cli.progress",
    "forge_gpu.cli.summary",
    "forge_gpu.library",
    "forge_gpu.foretell.learn",
    "forge_gpu.foretell.noted",
    "forge_gpu.frames.given",
    "forge_gpu.job.output.training",
    "forge_gpu.job.start",
    "forge_gpu.report.collect",
    "forge_gpu.report.live.note",
    "forge_gpu.report.notebook",
)
"""What `forge prepare` imports before it opens a job."""
OLD = 3600.0
"""Seconds after which it is seen anew: other programs, and the disk, change it."""
PATIENCE = 120.0


def launch(rates: Rates, config: Config) -> tuple[Launch, Rates]:
    """What it takes here, and the rates that know it. config: the plan of a job."""
    name = digest([__version__, sys.executable, sys.version])
    known = rates.launches.get(name)
    if known is not None and 0 <= time.time() - known.seen < OLD:
        return known, rates
    seen = seen_now(config)
    return seen, rates.model_copy(update={"launches": with_entry(rates.launches, name, seen)})


def seen_now(config: Config) -> Launch:
    """A process is started, and ends when it has loaded what a job needs, and the plan."""
    load = "from pathlib import Path; from forge_gpu.config.load import load; load(Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"import sys, {', '.join(LOADED)}; {load}"]
    try:
        with TemporaryDirectory(prefix="forge-launch-") as folder:
            plan = Path(folder, "forge.yaml")
            save(plan, config, {})
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            subprocess.run(
                [*command, str(plan)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired):  # where no process may be started, none is counted
        return Launch(seconds=0, cpu=0, seen=time.time())
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Launch(seconds=seconds, cpu=cpu, seen=time.time())
