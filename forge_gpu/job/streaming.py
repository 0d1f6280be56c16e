"""Prepared rows as they are made, for training code that wants no output folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from forge_gpu.engine.base import Engine
from forge_gpu.errors import ForgeError, InputError
from forge_gpu.fates import Fate, name
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.spool import never
from forge_gpu.job.events.events import JobEnded, Listener
from forge_gpu.job.job import Job
from forge_gpu.job.output.read_back import require_rows
from forge_gpu.job.prepare import deciding, open_job, take_steps
from forge_gpu.job.rows.workspace import is_same_source
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.write_pass import copies_of, spooled_rows
from forge_gpu.templates.forms import form_of


def stream(
    spec: JobSpec,
    budget: Budget,
    make_engine: Callable[[], Engine],
    split: str,
    batch_rows: int,
    listener: Listener,
    files: JobFiles | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Batches of one split, in the order that `prepare` writes it. Raises ForgeError."""
    fates = {name(fate): fate for fate in SPLITS}
    if split not in fates:
        raise ForgeError(f"there is no split {split!r}: choose one of {', '.join(fates)}")
    require_rows(batch_rows)
    output = spec.config.output
    if output.order == "shuffled" or output.packing != "none" or form_of(spec.config).is_record:
        raise ForgeError(
            "stream gives rendered rows in the order of the input: set output.order to input, "
            "output.packing to none and output.form to another than source, or use prepare"
        )
    return _batches(spec, budget, make_engine, fates[split], batch_rows, listener, files)


def _batches(
    spec: JobSpec,
    budget: Budget,
    make_engine: Callable[[], Engine],
    fate: Fate,
    batch_rows: int,
    listener: Listener,
    files: JobFiles | None,
) -> Generator[pa.RecordBatch, None, None]:
    began = time.monotonic()
    with TemporaryDirectory(prefix="forge-stream-") as folder:
        spec = replace(spec, output=Path(folder))
        job = open_job(spec, budget, make_engine, listener, files)
        assert isinstance(job, Job)  # a new folder holds no finished job
        with closing(job):
            take_steps(job, deciding(spec.config), never)
            decisions = job.decisions
            workspace = job.pool.first
            columns = workspace.columns(job.columns)
            first = 0
            for item, facts in zip(job.inputs.items, job.ranges, strict=True):
                fates = np.asarray(decisions.fate[first : first + facts.rows])
                spooled = spooled_rows(job, slice(first, first + facts.rows))
                copies = copies_of(decisions, slice(first, first + facts.rows))
                first += facts.rows
                row = digest = 0
                for chunk in workspace.chunks(item, job.budget.chunk_bytes):
                    rows, of_chunk = workspace.read_again(item, chunk, bind=spooled is None)
                    digest += of_chunk
                    chosen = np.flatnonzero(fates[row : row + len(rows)] == fate)
                    if spooled is not None:
                        often = None if copies is None else copies[row : row + len(rows)][chosen]
                        workspace.give_tokens(rows, chosen, spooled.of(row, len(rows)), often)
                    elif workspace.encoder is not None:
                        workspace.encode_lines(rows, chosen, chosen[:0])
                    if rows.line_rows is not None:
                        chosen = np.flatnonzero(np.isin(rows.line_rows, chosen))
                    row += len(rows)
                    batch = columns.batch(rows, chosen)
                    for start in range(0, len(batch), batch_rows):
                        yield batch.slice(start, batch_rows)
                if row != facts.rows or not is_same_source(item, digest, facts.digest):
                    raise InputError(
                        f"{item.source.file.path}: changed while it was read; take the rows anew"
                    )
            counts = {name(fate): rows for fate, rows in decisions.counts().items()}
    listener(JobEnded("end", counts, time.monotonic() - began, was_finished=False))
