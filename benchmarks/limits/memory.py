"""The most memory that a job takes beyond its libraries, by input and budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from benchmarks.limits.inputs import HostileInput
from forge_gpu.hardware.budget import BESIDE_BUDGET, TIMES_ROW

ROOT = Path(__file__).parents[2]
SMALL = 0.0001
"""The scale of the job that loads libraries and kernels."""
EVERY = 0.001
"""Seconds between two looks at a job's memory."""


@dataclass(frozen=True)
class Taken:
    """What a job took. anonymous: the most bytes of memory beyond what its libraries hold; mapped: the most
    that it had asked for, touched or not, which is what RLIMIT_DATA bounds. end: "done", or the fault."""

    anonymous: int
    mapped: int
    end: str
    rows: int
    seconds: float
    cpu: float


def allowed(case: HostileInput, budget: int, threads: int) -> int:
    """Bytes beyond its libraries that a job on an input may take."""
    return budget + BESIDE_BUDGET + TIMES_ROW * case.row * threads


def measure(
    case: HostileInput,
    budget: int,
    threads: int,
    folder: Path,
    limit: int | None = None,
    scale: float = 1,
) -> Taken:
    """Run a job on an input, in a folder. limit: bytes beyond its libraries that the kernel gives it. scale:
    of the input; less of it has as large rows where rows are what is large."""
    (folder / "small-input").mkdir(parents=True)
    small = case.make(folder / "small-input", SMALL)
    plan = case.plan(case.make(folder, scale), budget, threads)
    with job_process(folder, case.plan(small, budget, threads)) as (process, before):
        sender, answers = cast(TextIO, process.stdin), cast(TextIO, process.stdout)
        send(sender, {"plan": plan, "limit": None if limit is None else before["VmData"] + limit})
        sender.close()
        peak = _watch(process)
        result = json.loads(answers.readline())
    return Taken(peak["RssAnon"] - before["RssAnon"], peak["VmData"] - before["VmData"], **result)


@contextmanager
def job_process(
    folder: Path, small: dict[str, Any]
) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A process of `job.py` that has run the job of a small plan, and its memory."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.limits.job"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},  # as the command line sets it
    ) as process:
        try:
            send(cast(TextIO, process.stdin), {"folder": str(folder), "small": small})
            yield process, json.loads(cast(TextIO, process.stdout).readline())
        finally:
            process.kill()


def send(sender: TextIO, message: Any) -> None:
    sender.write(json.dumps(message) + "\n")
    sender.flush()


def _watch(process: subprocess.Popen[str]) -> dict[str, int]:
    """The most that a process has of each, until it ends."""
    peak = {"RssAnon": 0, "VmData": 0}
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            name, _, value = line.partition(":")
            if name in peak:
                peak[name] = max(peak[name], int(value.split()[0]) * 1024)
        time.sleep(EVERY)
    return peak
