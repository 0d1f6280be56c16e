"""What a job tells while it runs: for those who listen to it, or read what it wrote. See docs/events.md."""

from __future__ import annotations

from forge_gpu.job.events.dispatch import GiveUp
from forge_gpu.job.events.encode import Entry, EntryListener, from_line, read_lines, to_line
from forge_gpu.job.events.events import (
    SCHEMA,
    ChunkDone,
    Event,
    FellBack,
    Halved,
    JobEnded,
    JobFailed,
    JobStarted,
    Listener,
    Progressed,
    Retried,
    Sampled,
    StageDone,
    StageStarted,
    Warned,
)
from forge_gpu.job.events.file import EventFile

__all__ = [
    "SCHEMA",
    "ChunkDone",
    "Entry",
    "EntryListener",
    "Event",
    "EventFile",
    "FellBack",
    "GiveUp",
    "Halved",
    "JobEnded",
    "JobFailed",
    "JobStarted",
    "Listener",
    "Progressed",
    "Retried",
    "Sampled",
    "StageDone",
    "StageStarted",
    "Warned",
    "from_line",
    "read_lines",
    "to_line",
]
