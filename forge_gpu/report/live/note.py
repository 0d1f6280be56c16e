"""A listener that leaves what a job is at beside its checkpoint, for whoever watches."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import write_checked
from forge_gpu.job.events.dispatch import PACE, GiveUp
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import JobEnded, JobFailed
from forge_gpu.job.state.place import FOLDER
from forge_gpu.report.live.state import VERSION, LiveState

FILE = "live.json"
WRITE_EVERY = 0.5
"""Seconds between two writings; a sample comes each second, and so does what was passed over before it."""
MOST_RUNS = 20
"""Earlier runs of the same job that are remembered."""


class LiveNote:
    """Writes `.forge/live.json` anew as events come. folder: of the output, once it is known.

    Nothing is written before the job works in the folder: until then it may be anyone's.
    """

    name = "the live page"
    pace = PACE

    def __init__(self, command: Sequence[str]) -> None:
        self.folder: Path | None = None
        self._state = LiveState()
        self._process = {"pid": os.getpid(), "host": socket.gethostname(), "command": list(command)}
        self._before: list[dict[str, Any]] | None = None
        self._written = 0.0

    def __call__(self, entry: Entry) -> None:
        self._state.add(entry)
        if self.folder is None or not self._state.has_begun:
            return
        is_end = isinstance(entry.event, JobEnded | JobFailed)
        if not is_end and time.monotonic() - self._written < WRITE_EVERY:
            return
        try:
            self._write(entry.run)
        except (OutputError, OSError) as fault:
            if not is_end:
                raise GiveUp(str(fault)) from fault

    def _write(self, run: str) -> None:
        assert self.folder is not None
        path = self.folder / FOLDER / FILE
        document = self._state.document()
        if self._before is None:
            self._before = _earlier(path, self._state.job)
        document |= {"run": run, **self._process, "before": self._before}
        write_checked(path, orjson.dumps(document))
        self._written = time.monotonic()


def read_live(folder: Path) -> dict[str, Any] | None:
    """What the last run in an output folder left; None where there is none that this version reads."""
    try:
        document = orjson.loads((folder / FOLDER / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    is_ours = isinstance(document, dict) and document.get("version") == VERSION and "run" in document
    return document if is_ours else None


def _earlier(path: Path, job: str | None) -> list[dict[str, Any]]:
    """The runs before this one, of the same job, the last one at the end."""
    result = read_live(path.parent.parent)
    if result is None or result.get("job") != job:
        return []
    outcome = result.get("outcome") or {"kind": "killed"}
    last = {
        "run": result["run"],
        "began": result.get("began"),
        "told": result.get("told"),
        "outcome": outcome["kind"],
        "error": outcome.get("error"),
        "stage": result["stages"][-1]["stage"] if result.get("stages") else None,
    }
    return [*result.get("before", []), last][-MOST_RUNS:]
