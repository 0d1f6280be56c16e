"""What a job is at, reduced from its events: of one size, however long the job runs."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

from forge_gpu.io.secrets import public, public_within
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import (
    ChunkDone,
    Event,
    FellBack,
    Halved,
    JobEnded,
    JobFailed,
    JobStarted,
    Progressed,
    Retried,
    Sampled,
    StageDone,
    StageStarted,
    Warned,
)

VERSION = 1
MOST_NOTICES = 50
"""Warnings, retries and the like that are remembered, the last ones."""
MOST_POINTS = 240
"""Of the curves: when there are more, every second one goes, and they are taken half as often."""
STOPPED = (130, 143)
"""Exit codes of a job that somebody stopped."""


class Curves:
    """Numbers over time, of the whole job: evenly spaced, at most MOST_POINTS of them."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self._every, self._next = 1.0, 0.0

    def add(self, seconds: float, point: dict[str, Any]) -> None:
        """A point, unless the one before is too near."""
        if seconds < self._next:
            return
        self._next = seconds + self._every
        self.points.append({"seconds": round(seconds, 1), **point})
        if len(self.points) > MOST_POINTS:
            self.points = self.points[::2]
            self._every *= 2


class LiveState:
    """The state of one run; `add` takes its events in order, `document` is JSON without secrets and texts of
    rows."""

    def __init__(self) -> None:
        self.job: str | None = None
        self.began: datetime | None = None
        self._told: datetime | None = None
        self._facts: dict[str, Any] = {}
        self._stages: dict[str, dict[str, Any]] = {}
        self._fates: dict[str, int] = {}
        self._reasons: dict[str, int] = {}
        self._notices: deque[dict[str, Any]] = deque(maxlen=MOST_NOTICES)
        self._counts = dict.fromkeys(("warnings", "retries", "halvings", "fallbacks"), 0)
        self._sample: dict[str, Any] = {}
        self._curves = Curves()
        self._outcome: dict[str, Any] | None = None

    def add(self, entry: Entry) -> None:
        event = entry.event
        self.job, self._told = entry.job or self.job, entry.time
        self.began = self.began or entry.time
        match event:
            case JobStarted():
                self._facts |= _facts(event)
            case StageStarted():
                self._begin(event)
            case ChunkDone() | Progressed() | StageDone():
                self._advance(event)
            case Sampled(memory=memory, vram=vram, gpu_use=use, queue=queue):
                self._sample |= {"memory": memory, "vram": vram, "gpu_use": use, "queue": queue}
                self._curves.add(self._seconds, self._point())
            case JobEnded(counts=counts, seconds=seconds):
                self._fates = dict(counts)
                self._outcome = {"kind": "done", "seconds": seconds}
            case JobFailed(error=error, exit_code=code, stage=stage):
                kind = "stopped" if code in STOPPED else "failed"
                self._outcome = {"kind": kind, "error": error, "exit_code": code, "stage": stage}
            case _:
                self._notice(event)

    @property
    def has_begun(self) -> bool:
        """Whether the job works on its stages: its inputs are known, and its folder is its own."""
        return bool(self._facts) and bool(self._stages)

    def document(self) -> dict[str, Any]:
        assert self.began is not None and self._told is not None
        made: Any = public_within(
            {
                **self._facts,
                "began": self.began.timestamp(),
                "told": self._told.timestamp(),
                "stages": list(self._stages.values()),
                "fates": self._fates,
                "reasons": self._reasons,
                "notices": list(self._notices),
                "counts": self._counts,
                **self._sample,
                "outcome": self._outcome,
            }
        )
        return {"version": VERSION, "job": self.job, **made, "curves": self._curves.points}

    @property
    def _seconds(self) -> float:
        assert self.began is not None and self._told is not None
        return (self._told - self.began).total_seconds()

    def _begin(self, event: StageStarted) -> None:
        self._stages[event.stage] = {
            "stage": event.stage,
            "began": self._seconds,
            "total_bytes": event.total_bytes,
            "before_bytes": event.done_bytes,
            "bytes": 0,
            "rows": 0,
            "seconds": None,
        }

    def _advance(self, event: ChunkDone | Progressed | StageDone) -> None:
        stage = self._stages.get(event.stage)
        if stage is None:
            return
        match event:
            case ChunkDone():
                stage |= {"bytes": event.bytes_so_far, "rows": event.rows_so_far, "last": self._seconds}
                self._sample["peak_memory"] = event.peak_memory
                self._reasons |= event.reasons_so_far or {}
                self._fates |= event.fates_so_far or {}
            case Progressed():
                stage["at"] = {"what": event.what, "done": event.done, "total": event.total}
            case StageDone():
                stage |= {"rows": event.rows, "seconds": event.seconds}
                stage.pop("at", None)

    def _point(self) -> dict[str, Any]:
        rows = next((of["rows"] for of in reversed(self._stages.values()) if of["rows"]), 0)
        stage = next(reversed(self._stages), None)
        now = {key: value for key, value in self._sample.items() if key in ("memory", "vram", "gpu_use")}
        return {"stage": stage, "rows": rows, "fates": dict(self._fates), **now}

    def _notice(self, event: Event) -> None:
        match event:
            case Warned(message=message):
                kind, text = "warnings", message
            case Retried(what=what, attempt=attempt, error=error):
                kind, text = "retries", f"retry {attempt} of {what}: {error}"
            case Halved(rows=rows):
                kind, text = "halvings", f"a chunk of {rows} rows did not fit in memory: halved"
            case FellBack(reason=reason):
                kind, text = "fallbacks", f"fell back: {reason}"
            case _:
                return
        self._counts[kind] += 1
        self._notices.append({"seconds": self._seconds, "stage": event.stage, "kind": kind, "text": text})


def _facts(event: JobStarted) -> dict[str, Any]:
    """What is shown of the job: not its plan, which may hold anything."""
    config = event.spec["config"]
    return {
        "goal": public(config.get("goal") or ""),
        "model": config["model"].get("name"),
        "engine": event.engine,
        "engine_reason": event.engine_reason,
        "threads": event.threads,
        "memory_budget": event.memory_budget,
        "resumed": event.resumed,
        "forge": event.versions.get("forge"),
    }
