"""Runs a job again and again, in a process that is killed, or whose disk fails, at the Nth call.

The calls are those of the C library that change a file (`shim.c`), so what Arrow and numpy write counts as
well. One process loads the libraries, and each run is a fork of it: `Injector` starts it, `main` is it.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

ROOT = Path(__file__).parents[2]
ACTIONS = {"none": 0, "kill": 1, "full": 2, "broken": 3, "short": 4}
DONE, REFUSED, KILLED = "done", "refused", "killed"


@dataclass(frozen=True)
class Run:
    """How one ended: DONE, REFUSED (with the error that a user sees), KILLED, or anything else, which is a
    fault of ours. calls: that counted, of a run that was not killed."""

    end: str
    calls: int
    message: str


class Injector:
    """A process that runs jobs of plans. process: as `started` gives it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._sender, self._answers = cast(TextIO, process.stdin), cast(TextIO, process.stdout)

    def warm(self, plan: dict[str, Any], output: Path) -> None:
        """Run a job unarmed, in the process that is forked later, so that its kernels are loaded."""
        result = self.run(plan, output, forked=False)
        assert result.end == DONE, result

    def run(
        self, plan: dict[str, Any], output: Path, action: str = "none", number: int = -1, **options: Any
    ) -> Run:
        """Run a job; what `action` is happens to call `number`, from 0. options: of `tests.job.jobs.run`,
        and `seconds`, after which a job that still runs is ended by SIGALRM."""
        request = {"plan": plan, "output": str(output), "action": action, "number": number, **options}
        self._sender.write(json.dumps(request) + "\n")
        self._sender.flush()
        return Run(**json.loads(self._answers.readline()))


@contextmanager
def started(folder: Path) -> Iterator[Injector]:
    """An injector; what it is built from is left in a folder."""
    shim = folder / "shim.so"
    compiler = shutil.which("cc") or "cc"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", shim, Path(__file__).with_name("shim.c"), "-ldl"],
        check=True,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.injector"],
        cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(shim), "ARROW_DEFAULT_MEMORY_POOL": "system"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Injector(process)
        finally:
            cast(TextIO, process.stdin).close()


def _run_here(request: dict[str, Any]) -> dict[str, Any]:
    """Run a job in this process; how it ended."""
    from forge_gpu.config.schema import Config
    from forge_gpu.errors import ForgeError
    from tests.job import jobs

    shim = ctypes.CDLL(None)
    shim.fault_calls.restype = ctypes.c_long
    plan, output = Config.model_validate(request.pop("plan")), Path(request.pop("output"))
    action, number = ACTIONS[request.pop("action")], request.pop("number")
    signal.alarm(request.pop("seconds", 0))  # its end is SIGALRM where it takes longer
    shim.fault_arm(os.fsencode(output), ctypes.c_long(number), action)
    try:
        jobs.run(plan, output, **request)
        end, message = DONE, ""
    except ForgeError as fault:
        end, message = REFUSED, str(fault)
    except BaseException:
        end, message = "a traceback", traceback.format_exc()
    calls = shim.fault_calls()
    shim.fault_arm(b"", ctypes.c_long(-1), 0)
    return {"end": end, "calls": calls, "message": message}


def _run(request: dict[str, Any]) -> dict[str, Any]:
    if not request.pop("forked", True):
        return _run_here(request)
    reading, report = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.write(report, json.dumps(_run_here(request)).encode())
        os._exit(0)
    os.close(report)
    with open(reading, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        signalled = os.WTERMSIG(status)
        end = KILLED if signalled == signal.SIGKILL else signal.Signals(signalled).name
        return {"end": end, "calls": 0, "message": ""}
    result: dict[str, Any] = json.loads(answer)
    return result


def main() -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pa.set_cpu_count(1)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


@dataclass
class Tally:
    """What came of many attacks. differences: of what was left, each with how to see it again."""

    kills: int = 0
    faults: int = 0
    refused: int = 0
    differences: list[str] = field(default_factory=list)


def attack(
    injector: Injector, name: str, plan: dict[str, Any], folder: Path, kills: int, faults: int, seed: int
) -> Tally:
    """Kill a job, and fail its calls, so many times, at places that a seed draws; each time it is run again
    to its end, and what it leaves is compared with what an untroubled run leaves."""
    from tests.job import jobs

    chance, tally = random.Random(f"{seed} {name}"), Tally()
    output = folder / "out"

    def fresh() -> Path:
        shutil.rmtree(output, ignore_errors=True)
        return output

    injector.warm(plan, fresh())
    whole = injector.run(plan, fresh())
    assert whole.end == DONE, whole
    expected, names = jobs.content(output), _names(output)

    def compare(attacked: str) -> None:
        last = injector.run(plan, output, threads=chance.randint(1, 2))
        if last.end != DONE or jobs.content(output) != expected or _names(output) != names:
            tally.differences.append(f"{name}, {attacked}: {last.end} {last.message}")

    for _ in range(kills):
        number = chance.randrange(whole.calls)
        attacked = f"killed at call {number}"
        run = injector.run(plan, fresh(), "kill", number)
        if run.end == KILLED and chance.random() < 0.3:
            again = chance.randrange(whole.calls)
            attacked += f", then at {again}"
            run = injector.run(plan, output, "kill", again)
        if run.end not in (KILLED, DONE):
            tally.differences.append(f"{name}, {attacked}: {run}")
        tally.kills += 1
        compare(attacked)
    for _ in range(faults):
        action, number = chance.choice(["full", "broken", "short"]), chance.randrange(whole.calls)
        run = injector.run(plan, fresh(), action, number)
        tally.faults += 1
        tally.refused += run.end == REFUSED
        if run.end not in (DONE, REFUSED) or (action == "short" and run.end != DONE):
            tally.differences.append(f"{name}, {action} at call {number}: {run}")
        compare(f"{action} at call {number}")
    return tally


def _names(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output)) for path in output.rglob("*"))


if __name__ == "__main__":
    main()
