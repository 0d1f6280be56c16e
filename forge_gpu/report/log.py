"""What happens in a job as a log: JSON lines for machines, or lines for people. Never a text of a row."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar

import orjson

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import open_to_append
from forge_gpu.io.secrets import public_values
from forge_gpu.job.events.dispatch import PACE
from forge_gpu.job.events.encode import Entry, values_of
from forge_gpu.job.events.events import (
    ChunkDone,
    Event,
    FellBack,
    Halved,
    JobFailed,
    JobStarted,
    Retried,
    Sampled,
    StageStarted,
    Warned,
)
from forge_gpu.job.output.result import Result

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
STDERR = "-"

_LEVEL_OF: dict[type[Event], int] = {
    ChunkDone: logging.DEBUG,
    Sampled: logging.DEBUG,
    StageStarted: logging.DEBUG,
    Warned: logging.WARNING,
    Retried: logging.WARNING,
    Halved: logging.WARNING,
    FellBack: logging.WARNING,
    JobFailed: logging.ERROR,
}
"""All others are information."""


class JobLog:
    """A listener that logs. where: a file for JSON lines, which is appended to; - is standard error.

    command: as it may be shown; it stands in the first line. Raises OutputError.
    """

    pace = PACE

    def __init__(self, where: str, level: str, command: Sequence[str]) -> None:
        self.name = "the log"
        self._command: list[str] | None = list(command)
        self._run = ""
        self._handler: logging.Handler
        try:
            self._handler = logging.StreamHandler(sys.stderr) if where == STDERR else _file(where)
        except OSError as fault:
            raise OutputError(f"{where}: the log cannot be written there: {fault.strerror}") from fault
        self._handler.setFormatter(_ForPeople() if where == STDERR else _AsJson())
        self._logger = logging.Logger("forge", LEVELS[level])
        self._logger.addHandler(self._handler)

    def __call__(self, entry: Entry) -> None:
        event = entry.event
        self._run = entry.run
        if self._command is not None:
            self._write(logging.INFO, "command", entry.time.timestamp(), {"command": self._command})
            self._command = None
        values = values_of(event)
        if isinstance(event, JobStarted):
            config = values.pop("spec")["config"]
            values["settings"] = {"goal": config["goal"], "inputs": config["data"]["inputs"]}
        message = values.pop("message") if isinstance(event, Warned) else _words(type(event).__name__)
        self._write(_LEVEL_OF.get(type(event), logging.INFO), message, entry.time.timestamp(), values)

    def finished(self, result: Result) -> None:
        """Why rows were rejected, and what checks warned of."""
        manifest = result.manifest
        for what, rows in (("rejected", manifest["rejected"]), ("flagged", manifest["warned"])):
            if rows:
                self._write(logging.INFO, f"rows {what}", None, {"rows": rows})

    def close(self) -> None:
        self._handler.close()

    def _write(self, level: int, message: str, time: float | None, values: dict[str, Any]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        shown = public_values({"message": message, "run": self._run, **values})
        record = self._logger.makeRecord("forge", level, "", 0, shown.pop("message"), (), None)
        if time is not None:
            record.created = time
        record.values = shown
        self._logger.handle(record)


def _file(where: str) -> logging.Handler:
    handler = _File(Path(where), encoding="utf-8", delay=False)
    handler.terminator = "\n"
    return handler


class _File(logging.FileHandler):
    """A file that is written under its own name, not through a link that someone put there."""

    def _open(self) -> TextIOWrapper:
        return os.fdopen(open_to_append(self.baseFilename, 0o664), "a", encoding="utf-8")


@cache
def _words(kind: str) -> str:
    """`StageDone` as `stage done`."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind).strip()


class _AsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "message": record.msg,
            **getattr(record, "values", {}),
        }
        return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS, default=str).decode()

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _utc(record)


class _ForPeople(logging.Formatter):
    COLUMNS: ClassVar[int] = 12

    def format(self, record: logging.LogRecord) -> str:
        values = dict(getattr(record, "values", {}))
        run = str(values.pop("run", ""))[:6]
        pairs = " ".join(f"{key}={_short(value)}" for key, value in values.items() if value is not None)
        line = f"{_utc(record)} {run} {record.levelname.lower():7} {record.msg:{self.COLUMNS}} {pairs}"
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _utc(record: logging.LogRecord) -> str:
    from datetime import UTC, datetime

    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
