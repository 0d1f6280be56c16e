"""Who takes part in a case, and the processes they live in."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]

THREAD_SETTINGS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip


def python_of(environment: str) -> Path:
    """The Python of a pinned environment: `make bench-peers` makes that of `peers`, and so on."""
    return ROOT / ".venvs" / environment / "bin" / "python"


class ContenderError(Exception):
    """A contender could not do its work; the message says what it said."""


class Missing(ContenderError):
    """A contender's library is not installed."""


@dataclass(frozen=True)
class Contender:
    """name: as shown. module: holds its tasks, one function a case. peer: lives in the peers' environment,
    or in another one under .venvs.
    """

    name: str
    module: str
    peer: bool = True
    task: str | None = None  # the function, where it is not named as the case's is
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of its own, beside the point's
    environment: str = "peers"
    floor: bool = False  # not the case's work, but what the machine takes for its bytes: nothing to check


def tasks_of(module: str) -> str:
    """The source of a contender's module, to see which tasks it has without importing its libraries."""
    result = importlib.util.find_spec(module)
    if result is None or result.origin is None:
        raise ModuleNotFoundError(module)
    return Path(result.origin).read_text()


def can_do(contender: Contender, task: str) -> bool:
    """Whether the contender's module has the task."""
    return f"\ndef {contender.task or task}(" in tasks_of(contender.module)


class Process:
    """A contender's live process, held to `cores`; use as a context. checkout: whose code it runs."""

    def __init__(self, contender: Contender, cores: list[int], checkout: Path = ROOT) -> None:
        self.contender = contender
        python = python_of(contender.environment) if contender.peer else Path(sys.executable)
        if not python.exists():
            raise Missing(f"no {python.relative_to(ROOT)}: run 'make bench-{contender.environment}'")
        settings = dict.fromkeys(THREAD_SETTINGS, str(len(cores)))
        self._child = subprocess.Popen(
            [str(python), "-m", "benchmarks.runner", contender.module, *map(str, cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if os.environ.get("BENCHMARKS_DEBUG") is None else None,
            text=True,
            cwd=checkout,
            env=os.environ
            | settings
            | {"PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        self.hello = self._answer()
        if "missing" in self.hello:
            self.close()
            raise Missing(self.hello["missing"])

    def prepare(self, task: str, arguments: dict[str, Any]) -> None:
        """Make a task ready; what that costs is not measured."""
        self._ask({"do": "prepare", "task": self.contender.task or task, "arguments": arguments})

    def run(self) -> dict[str, Any]:
        """Do the work once: {"seconds", "cpu", "user", "peak", "result"}, what runner.measure says."""
        return self._ask({"do": "run"})

    def close(self) -> None:
        """End the process, which is waiting for a request or at work."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise ContenderError("its process ended") from None
        answer = self._answer()
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise ContenderError(f"its process ended with status {self._child.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
