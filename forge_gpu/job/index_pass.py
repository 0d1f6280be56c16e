"""The first pass: read every row once, judge it and keep its hash."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import StrictError
from forge_gpu.fates import Reason
from forge_gpu.io.chunks import ArrowChunk, Chunk, JsonChunk
from forge_gpu.job.events.events import ChunkDone, Listener
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.output.rejected import rejected_record
from forge_gpu.job.rows.kinds import kinds_seen
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace, changed
from forge_gpu.job.run.pool import Executor, as_it_is
from forge_gpu.job.state import index
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.index import ChunkIndex, Part
from forge_gpu.job.state.inputs import Item, JobInputs, Place, places
from forge_gpu.kernels.layout import U8

STAGE = "index"


def index_pass(
    inputs: JobInputs,
    checkpoint: Checkpoint,
    pool: Executor[Workspace],
    chunk_bytes: int,
    limit: int | None,
    strict: bool,
    listener: Listener,
    check_stop: Callable[[], None],
) -> int:
    """Leave an index file for every range in the checkpoint; returns the rows of all of them.

    Ranges that have one already are not read again. `limit`: rows after so many get none. `strict`:
    StrictError at the first rejected row.
    """
    todo = [item for item in inputs.items if not checkpoint.has_index(item.number)]
    new = {item.number for item in todo}
    tasks = (partial(index_range, item=item, chunk_bytes=chunk_bytes) for item in todo)
    rows = 0
    refused = None
    with closing(pool.map(tasks, as_it_is)) as results:
        for item in inputs.items:
            check_stop()
            began = time.monotonic()
            left = None if limit is None else limit - rows
            part = _part(results, left) if item.number in new else None
            reason = _reasons_of(item, checkpoint) if part is None else part.reason
            if strict and reason.any():
                refused = item, reason
                break
            rows += len(reason)
            if part is not None:
                checkpoint.save_index(item.number, part)
                seconds = time.monotonic() - began
                fates = {"rejected": int(np.count_nonzero(part.reason))}
                listener(ChunkDone(STAGE, part.rows, item.part.size, seconds, peak_memory(), fates))
    if refused is not None:  # the pool is at rest: its first workspace can read the range again
        item, reason = refused
        before = [index.read_facts(checkpoint.index_path(number)) for number in range(item.number)]
        place = places(inputs.items, before)[item.number]
        raise StrictError(*_first_rejected(pool.first, chunk_bytes, item, reason, place))
    return rows


def _first_rejected(
    workspace: Workspace, chunk_bytes: int, item: Item, reasons: U8, place: Place
) -> tuple[str, str]:
    """Which row of a range is the first that is rejected, and why; and more of that, which may quote the row.

    reasons: of its rows.
    """
    first = int(np.flatnonzero(reasons)[0])
    row, line = 0, place.first_line
    for chunk in workspace.chunks(item, chunk_bytes):
        rows = workspace.reader.read(chunk, judge=False)
        if first < row + len(rows):
            first_line = line if item.source.format.kind == "jsonl" else None
            path, reason = item.source.file.path, reasons[first]
            found = rejected_record(rows, first - row, reason, path, place.first_in_file + row, first_line)
            at = f"line {found['line']}" if "line" in found else f"row {found['row']}"
            detail = f": {found['detail']}" if "detail" in found else ""
            return f"{path}: {at} is rejected: {found['reason']}", detail
        row += len(rows)
        line += physical_lines(chunk, rows)
    raise changed(item)


def _part(results: Iterator[ChunkIndex], left: int | None) -> ChunkIndex:
    """The index of a range that has none: the next result; of no rows past the limit."""
    if left is not None and left <= 0:
        return index.join([])
    part = next(results)
    return part if left is None else index.cut(part, left)


def _reasons_of(item: Item, checkpoint: Checkpoint) -> U8:
    """Why each row of a range is rejected, 0 where it is not, by the index of an earlier run."""
    return index.read_arrays(checkpoint.index_path(item.number), ("reason",))["reason"]


def index_range(workspace: Workspace, item: Item, chunk_bytes: int) -> ChunkIndex:
    """Judge and hash the rows of one range."""
    chunks = [
        index_rows(workspace, *workspace.judge(item, chunk)) for chunk in workspace.chunks(item, chunk_bytes)
    ]
    return index.join(chunks, in_parts=item.source.rows is None)


def index_rows(workspace: Workspace, rows: Rows, digest: int) -> ChunkIndex:
    """The index of one chunk. digest: of its source."""
    good = np.flatnonzero(rows.reason == 0)
    keys = workspace.keys(rows, good)
    found = workspace.engine.hash128(keys)
    if len(good) == len(rows):
        hashes = found.copy()
    else:
        hashes = np.zeros((len(rows), 2), np.uint64)
        hashes[good] = found
    empty = workspace.renders_to_nothing(rows, good, keys.offsets)
    if len(empty):
        rows.reason[empty] = Reason.EMPTY_TEXT
        hashes[empty] = 0
    part = ChunkIndex(
        reason=rows.reason,
        hashes=hashes,
        stratum=workspace.strata(rows),
        time=rows.time,
        parts=(_part_of(rows, digest),),
        warned={reason: int(found.sum()) for reason, found in rows.warned.items()},
        ways=dict(rows.bound.counts),
        kinds={column: kinds_seen(rows.column(column)) for column in workspace.config.output.columns},
        group=workspace.groups(rows),
    )
    if workspace.near is not None:
        workspace.near.index(part, rows)
    if workspace.evaluation is not None:
        workspace.evaluation.index(part, rows, workspace.against_text)
    return part


def _part_of(rows: Rows, digest: int) -> Part:
    chunk = rows.chunk
    begin = chunk.first_row if isinstance(chunk, ArrowChunk) else chunk.offset
    return Part(begin, len(rows), physical_lines(chunk, rows), chunk_size(chunk), digest)


def physical_lines(chunk: Chunk, rows: Rows) -> int:
    """Lines of the file that a chunk of JSON lines spans; its rows for every other form."""
    if isinstance(chunk, ArrowChunk) or chunk.form != "lines" or chunk.truncated:
        return len(rows)
    text = int(rows.records.length.sum())
    if text + len(rows) == len(chunk.data):  # every byte is of a record or its \n: no blank lines
        return len(rows)
    return _newlines(chunk.data) + int(len(chunk.data) > 0 and chunk.data[-1] != 10)


def _newlines(data: npt.NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(data == 10))


def chunk_size(chunk: Chunk) -> int:
    return len(chunk.data) if isinstance(chunk, JsonChunk) else chunk.size
