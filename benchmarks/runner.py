"""The process of one contender: does what its parent asks, over pipes, and measures itself.

Stays within the standard library, since it runs in every contender's own environment:

    python -m benchmarks.runner MODULE [CORE...]

Each line on stdin is a request {"do": "prepare" | "run" | "close", ...}, each answer a line of JSON.
A task is a function of MODULE: it takes the case's arguments, gets ready (not timed), and returns the
work, a function without arguments. What that returns is the answer's "result"; if it is a function, its
value is, found after the clock has stopped. The first answer tells what the imports cost. What a library
prints goes to stderr, never between the answers.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from benchmarks.command import Measured


def user_and_system() -> tuple[float, float]:
    """Seconds of this process, all its threads, and the children it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime for usage in usages), sum(usage.ru_stime for usage in usages)


def cpu_seconds() -> float:
    return sum(user_and_system())


def forget_peak() -> None:
    """Start the kernel's account of peak resident memory anew (Linux; elsewhere it covers the whole life)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def resident(field: str = "VmHWM") -> int:
    """Resident bytes: VmHWM the peak, VmRSS now. The peak of the whole life where /proc is missing."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(work: Callable[[], Any]) -> dict[str, Any]:
    """Run `work` once and say what it cost; its result must be JSON, or a Measured."""
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    user, system = user_and_system()
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    user_after, system_after = user_and_system()
    if isinstance(result, Measured):
        return {"seconds": result.seconds, "cpu": result.cpu, "peak": result.peak, "result": result.result}
    peak = resident()
    if callable(result):
        result = result()
    return {
        "seconds": seconds,
        "cpu": user_after - user + system_after - system,
        "user": user_after - user,
        "peak": peak,
        "before": before,
        "result": result,
    }


def serve(module_name: str, requests: TextIO, answers: TextIO) -> None:
    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    began, cpu = time.perf_counter(), cpu_seconds()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        answer({"missing": str(error)})
        return
    answer(
        {
            "import_seconds": time.perf_counter() - began,
            "import_cpu": cpu_seconds() - cpu,
            "import_peak": resident(),
            "versions": getattr(module, "VERSIONS", {}),
        }
    )
    work: Callable[[], Any] | None = None
    for line in requests:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                work = None  # what the last task held is freed first
                work = getattr(module, request["task"])(**request["arguments"])
                answer({"ready": True})
            elif request["do"] == "run":
                assert work is not None
                answer(measure(work))
            else:
                return
        except Exception as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"[:600]})


def main() -> None:
    module, cores = sys.argv[1], sys.argv[2:]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(module, sys.stdin, answers)


if __name__ == "__main__":
    main()
