"""Prepared rows as they are made, for training code that wants no output folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from forge_gpu.engine.base import Engine
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ForgeError, InputError
from forge_gpu.fates import Fate, name
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.events.events import Listener
from forge_gpu.job.finish import output_columns
from forge_gpu.job.job import Job
from forge_gpu.job.output.read_back import NO_BOUND, batch_of_records, require_rows
from forge_gpu.job.prepare import make_decisions, open_job
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.job.state.spec import JobSpec


def stream(
    spec: JobSpec,
    budget: Budget,
    make_engine: Callable[[], Engine],
    split: str,
    batch_rows: int,
    listener: Listener,
) -> Iterator[pa.RecordBatch]:
    """Batches of one split, in the order that `prepare` writes it. Raises ForgeError."""
    fates = {name(fate): fate for fate in SPLITS}
    if split not in fates:
        raise ForgeError(f"there is no split {split!r}: choose one of {', '.join(fates)}")
    require_rows(batch_rows)
    if spec.config.output.order == "shuffled" or spec.config.output.form == "source":
        raise ForgeError(
            "stream gives rendered rows in the order of the input: set output.order to input and "
            "output.form to another than source, or use prepare"
        )
    return _batches(spec, budget, make_engine, fates[split], batch_rows, listener)


def _batches(
    spec: JobSpec,
    budget: Budget,
    make_engine: Callable[[], Engine],
    fate: Fate,
    batch_rows: int,
    listener: Listener,
) -> Iterator[pa.RecordBatch]:
    with TemporaryDirectory(prefix="forge-stream-") as folder:
        spec = replace(spec, output=Path(folder))
        job = open_job(spec, budget, make_engine, listener)
        assert isinstance(job, Job)  # a new folder holds no finished job
        with closing(job.inputs):
            decisions = make_decisions(job, lambda: None)
            workspace = job.pool.first
            columns = output_columns(workspace, job.ranges)
            reader = CpuEngine()
            first = 0
            for item, facts in zip(job.inputs.items, job.ranges, strict=True):
                fates = np.asarray(decisions.fate[first : first + facts.rows])
                first += facts.rows
                row = digest = 0
                for chunk in workspace.chunks(item, job.budget.chunk_bytes):
                    rows, of_chunk = workspace.read_again(item, chunk)
                    digest += of_chunk
                    chosen = np.flatnonzero(fates[row : row + len(rows)] == fate)
                    row += len(rows)
                    lines = workspace.lines(rows, chosen)
                    data = lines.data[: lines.offsets[-1]]
                    records = reader.scan(data, "lines", tuple(columns), NO_BOUND)
                    batch = batch_of_records(reader, records, columns)
                    for start in range(0, len(batch), batch_rows):
                        yield batch.slice(start, batch_rows)
                if row != facts.rows or digest % 2**64 != facts.digest:
                    raise InputError(
                        f"{item.source.file.path}: changed while it was read; take the rows anew"
                    )
