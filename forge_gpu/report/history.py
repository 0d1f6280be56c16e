"""The runs on this machine: a line of JSON each, in the user's own folder. It leaves the machine never."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import open_to_append, replacing
from forge_gpu.io.secrets import public, public_command, public_within
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import JobEnded, JobFailed

MOST = 1000
"""Runs that are remembered."""


def history_file() -> Path:
    """Below $XDG_STATE_HOME, or ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "forge" / "history.jsonl"


class RunNote:
    """A listener that notes how a run ended. settings: those changed by hand, as KEY=VALUE."""

    name = "the history"

    def __init__(self, command: Sequence[str], output: str, settings: Sequence[str]) -> None:
        self._began = datetime.now(UTC)
        self._note: dict[str, Any] = {
            "time": self._began.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "folder": str(Path.cwd()),
            "command": list(command),
            "output": public(output),
            "settings": public_command(settings),
        }

    def __call__(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, JobEnded):
            outcome = "was done already" if event.was_finished else "done"
            self._save(entry, {"outcome": outcome, "exit_code": 0, "counts": event.counts})
        elif isinstance(event, JobFailed):
            outcome = "stopped" if event.exit_code in (130, 143) else "failed"
            self._save(entry, {"outcome": outcome, "exit_code": event.exit_code, "error": event.error})

    def _save(self, entry: Entry, ending: dict[str, Any]) -> None:
        seconds = round((entry.time - self._began).total_seconds(), 3)
        line = orjson.dumps(public_within({"run": entry.run, **self._note, "seconds": seconds, **ending}))
        with suppress(OSError, OutputError):  # a home that cannot be written to is no fault of the run
            _append(history_file(), line + b"\n")


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if len(lines) >= 2 * MOST:
        with replacing(path) as partial:
            partial.chmod(0o600)
            partial.write_bytes(b"".join(lines[-MOST:]))
    with os.fdopen(open_to_append(path, 0o600), "wb") as file:
        file.write(line)


def read_history() -> list[dict[str, Any]]:
    """The runs, the oldest first. Lines that are none are passed over."""
    runs = []
    try:
        lines = history_file().read_bytes().splitlines()
    except OSError:
        return []
    for line in lines[-MOST:]:
        try:
            run = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(run, dict) and {"time", "command", "outcome"} <= run.keys():
            runs.append(run)
    return runs
