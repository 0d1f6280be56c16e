"""In a notebook: a bar for each stage of a job, below the cell that runs it."""

from __future__ import annotations

import sys
import time
from html import escape
from importlib import import_module
from typing import Any

from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import (
    ChunkDone,
    FellBack,
    JobEnded,
    JobFailed,
    Progressed,
    Retried,
    StageDone,
    StageStarted,
    Warned,
)

DRAW_EVERY = 0.2
"""Seconds between two drawings, but for what begins, ends and warns."""
MOST_LINES = 10
STYLE = "style='border:none;text-align:left;padding:1px 12px 1px 0'"


def is_notebook() -> bool:
    """Whether a notebook's kernel runs this; nothing is imported to know it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A listener that draws what a job is at as HTML, in the cell that made it."""

    name = "the bar"

    def __init__(self) -> None:
        shown: Any = import_module("IPython.display")
        self._html = shown.HTML
        self._stages: dict[str, dict[str, Any]] = {}
        self._lines: list[str] = []
        self._drawn = 0.0
        self._handle = shown.display(self._html(""), display_id=True)

    def __call__(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case StageStarted():
                self._stages[event.stage] = {"total": event.total_bytes, "before": event.done_bytes}
            case ChunkDone(stage=stage) if stage in self._stages:
                self._stages[stage] |= {"bytes": event.bytes_so_far, "rows": event.rows_so_far}
            case Progressed(stage=stage) if stage in self._stages:
                self._stages[stage]["at"] = event
            case StageDone(stage=stage) if stage in self._stages:
                self._stages[stage] |= {"rows": event.rows, "seconds": event.seconds}
            case Warned(message=line) | Retried(error=line) | FellBack(reason=line) | JobFailed(error=line):
                self._lines = [*self._lines, line][-MOST_LINES:]
        waits = not isinstance(event, StageStarted | StageDone | Warned | JobEnded | JobFailed)
        if not waits or time.monotonic() - self._drawn >= DRAW_EVERY:
            self._drawn = time.monotonic()
            self._handle.update(self._html(self.html()))

    def html(self) -> str:
        """What is shown now: names and warnings are text in it."""
        rows = "".join(_row(name, stage) for name, stage in self._stages.items())
        lines = "".join(f"<div>warning: {escape(line)}</div>" for line in self._lines)
        return f"<table style='border:none'>{rows}</table>{lines}"


def _row(name: str, stage: dict[str, Any]) -> str:
    cells = [escape(name), f"<progress max='1' value='{_share(stage):.3f}'></progress>"]
    cells.append(f"{stage['rows']:,} rows" if stage.get("rows") else "")
    if stage.get("seconds") is not None:
        cells.append(f"{stage['seconds']:.1f} s")
    elif stage["total"]:
        cells.append(f"{(stage['before'] + stage.get('bytes', 0)) / 1e6:,.0f}/{stage['total'] / 1e6:,.0f} MB")
    else:
        cells.append(escape(stage["at"].what) if "at" in stage else "")
    return f"<tr>{''.join(f'<td {STYLE}>{cell}</td>' for cell in cells)}</tr>"


def _share(stage: dict[str, Any]) -> float:
    if stage.get("seconds") is not None:
        return 1.0
    if stage["total"]:
        done = float(stage["before"] + stage.get("bytes", 0))
        return min(done / float(stage["total"]), 1.0)
    at = stage.get("at")
    return float(at.done) / max(at.total, 1) if at is not None else 0.0
