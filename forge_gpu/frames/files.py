"""Frames as files of JSON lines, for jobs: what a frame holds means the same there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.frames.base import Frames
from forge_gpu.frames.blocks import Columns
from forge_gpu.frames.passes import Passes
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels import layout
from forge_gpu.templates.program import Literal, Part, RawSlot, pack


def write_lines(passes: Passes[Any, Any], frame: Any, path: Path) -> None:
    """Write a frame's rows as JSON lines, block by block. Raises InputError, TypeError."""
    frames: Frames[Any, Any] = passes.frames
    names = frames.columns(frame)
    if not names and frames.rows(frame):
        raise InputError("the frame has no columns")
    with path.open("wb") as file:
        for lines in passes.each(frame, names, lines_of) if names else ():
            file.write(lines)


def lines_of(worker: Worker, columns: Columns) -> bytes:
    """One block as JSON lines. Bytes that are not UTF-8 stay as they are, for the job to reject."""
    parts: list[Part] = []
    for name in columns:
        parts += [Literal((b"," if parts else b"{") + json.dumps(name).encode() + b":"), RawSlot(name)]
    table = pack([(*parts, Literal(b"}\n"))])
    spans = [columns[name] for name in table.columns]
    rows = np.arange(len(spans[0]))
    text = worker.engine.render(table, np.zeros(len(rows), np.int32), spans, rows, layout.AS_JSON)
    return bytes(text.data[: int(text.offsets[-1])])
