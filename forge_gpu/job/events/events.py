"""The one event stream of a job. The progress bar, the logs, the manifest and the metrics read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `stage` is the stage it happened in."""

    stage: str


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    total_bytes: int | None = None
    total_rows: int | None = None


@dataclass(frozen=True, slots=True)
class ChunkDone(Event):
    rows: int
    bytes: int  # of input
    seconds: float
    peak_memory: int  # bytes, of the process, so far


@dataclass(frozen=True, slots=True)
class StageDone(Event):
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Warned(Event):
    message: str


@dataclass(frozen=True, slots=True)
class Retried(Event):
    what: str
    attempt: int
    error: str


@dataclass(frozen=True, slots=True)
class Halved(Event):
    rows: int  # of the chunk that did not fit


@dataclass(frozen=True, slots=True)
class FellBack(Event):
    """The engine failed and the job goes on with the CPU engine."""

    reason: str


Listener = Callable[[Event], None]
