"""Rows whose template is code, on a device: the CPU's machine runs those that the device gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from forge_gpu.engine.lazy import LazySpans
from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered
from forge_gpu.kernels.cuda import vm_rows
from forge_gpu.kernels.cuda.device import Device
from forge_gpu.kernels.layout import CANONICAL, CLEAN, I64, U8, Spans, empty_spans
from forge_gpu.kernels.vm_layout import Outcome


def run(
    machine: Machine,
    columns: Sequence[Spans],
    there: Sequence[Spans],
    rows: I64,
    device: Device,
    room: int,
    fetch: Callable[[LazySpans], U8],
) -> Rendered:
    """What the machine makes of some rows, their texts on the device. there: the columns with their bytes
    where they are. room: bytes of working memory. Marks are not made."""
    written = vm_rows.run_rows(machine.program, there, rows, device, room)
    left = np.flatnonzero(written.outcome != Outcome.DONE)
    outcome, place = written.outcome, np.full(len(rows), -1, np.int64)
    kind = np.where(written.escaped, np.uint8(CANONICAL), np.uint8(CLEAN))
    others = empty_spans(0)
    if len(left):
        on_host = machine.run(columns, rows[left])
        outcome[left], place[left], others = on_host.outcome, on_host.place, on_host.text
    kind[left] = others.kind
    text = vm_rows.together(written, left, others, device)
    offsets: I64 = device.download(text.offsets)
    source: Any = text.data[: int(offsets[-1])]
    spans = LazySpans(source, offsets[:-1], np.diff(offsets), kind, fetch)
    none = np.zeros(len(rows) + 1, np.int64)
    return Rendered(outcome, place, spans, none, np.zeros((0, 2), np.int64))
