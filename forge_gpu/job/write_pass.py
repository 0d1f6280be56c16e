"""The second pass: read every row again and write it where the decisions say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import numpy as np

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate
from forge_gpu.job.checkpoint import Checkpoint
from forge_gpu.job.decisions import SPLITS, Decisions
from forge_gpu.job.events import ChunkDone, Listener
from forge_gpu.job.index import RangeFacts
from forge_gpu.job.index_pass import physical_lines
from forge_gpu.job.inputs import Item, JobInputs, Place, places
from forge_gpu.job.memory import peak_memory
from forge_gpu.job.outputs import Outputs, Piece
from forge_gpu.job.pool import Executor
from forge_gpu.job.rejected import rejected_lines
from forge_gpu.job.rows import Rows
from forge_gpu.job.workspace import Workspace, changed
from forge_gpu.kernels.layout import AS_JSON, I64, U8, Text
from forge_gpu.kernels.reference import render as reference
from forge_gpu.kernels.scratch import Scratch

STAGE = "write"
CHECKED_ROWS = 16
"""Of the first so many training rows of a range, one is rendered by the reference too."""
SAVE_EVERY = 2.0
"""Seconds of work that a killed run may lose: how often what is written is synced and noted."""


def write_pass(
    inputs: JobInputs,
    ranges: Sequence[RangeFacts],
    checkpoint: Checkpoint,
    pool: Executor[Workspace],
    chunk_bytes: int,
    decisions: Decisions,
    outputs: Outputs,
    listener: Listener,
    check_stop: Callable[[], None],
) -> None:
    """Append every range's rows to the outputs, in order, from where the checkpoint says."""
    place_of = places(inputs.items, ranges)

    def rows_of(array: np.ndarray, item: Item) -> np.ndarray:
        """A range's part of an array of all rows."""
        first = place_of[item.number].first
        return np.asarray(array[first : first + ranges[item.number].rows])

    begin = checkpoint.state.written_ranges
    saved = time.monotonic()
    direct = outputs.append if pool.threads == 1 else None
    tasks = (
        partial(
            write_range,
            item=item,
            part=ranges[item.number],
            place=place_of[item.number],
            fates=rows_of(decisions.fate, item),
            reasons=rows_of(decisions.reason, item),
            ranks=None if decisions.rank is None else rows_of(decisions.rank, item),
            chunk_bytes=chunk_bytes,
            write=direct,
        )
        for item in inputs.items[begin:]
    )
    began = time.monotonic()
    for item, pieces in zip(inputs.items[begin:], pool.map(tasks), strict=True):
        for piece in pieces:
            outputs.append(piece)
        now = time.monotonic()
        rows = ranges[item.number].rows
        listener(ChunkDone(STAGE, rows, item.part.size, now - began, peak_memory()))
        began = now
        if now - saved >= SAVE_EVERY:
            _save(checkpoint, outputs, item.number + 1)
            saved = time.monotonic()
        _stop_here(check_stop, checkpoint, outputs, item.number + 1)


def _stop_here(check_stop: Callable[[], None], checkpoint: Checkpoint, outputs: Outputs, ranges: int) -> None:
    """Stop if a signal asks for it, with everything written so far noted."""
    try:
        check_stop()
    except BaseException:
        _save(checkpoint, outputs, ranges)
        raise


def _save(checkpoint: Checkpoint, outputs: Outputs, ranges: int) -> None:
    checkpoint.state.positions = outputs.sync()
    checkpoint.state.written_ranges = ranges
    checkpoint.save()


def write_range(
    workspace: Workspace,
    item: Item,
    part: RangeFacts,
    place: Place,
    fates: U8,
    reasons: U8,
    ranks: I64 | None,
    chunk_bytes: int,
    write: Callable[[Piece], None] | None,
) -> list[Piece]:
    """Render the rows of a range. fates, reasons, ranks: its part of the decisions. `write` takes each piece
    at once; without it they are kept."""
    kept: list[Piece] = []
    row, line, digest = 0, place.first_line, 0
    checked = False
    workspace.engine.let_go()
    for chunk in workspace.chunks(item, chunk_bytes) if part.rows else ():
        rows, of_chunk = workspace.read_again(item, chunk)
        digest += of_chunk
        fate = fates[row : row + len(rows)]
        if not checked:
            checked = _check_sample(workspace, rows, fate)
        of_ranks = None if ranks is None else ranks[row : row + len(rows)]
        pieces = _split_pieces(workspace, rows, fate, of_ranks, keep=write is None)
        refused = np.flatnonzero(fate == np.uint8(Fate.REJECTED))
        if len(refused):
            first_line = line if item.source.format.kind == "jsonl" else None
            reason, first = reasons[row : row + len(rows)], place.first_in_file + row
            lines = rejected_lines(rows, refused, reason, item.source.file.path, first, first_line)
            pieces.append(Piece(Fate.REJECTED, _as_text(list(lines)), None))
        if write is None:
            kept += pieces
        else:
            for piece in pieces:
                write(piece)
        row += len(rows)
        line += physical_lines(chunk, rows)
    if part.rows and digest % 2**64 != part.digest:
        raise changed(item)
    return kept


def _split_pieces(workspace: Workspace, rows: Rows, fate: U8, rank: I64 | None, keep: bool) -> list[Piece]:
    """The lines of a chunk's rows, split by split, rendered by one call. keep: beyond the next chunk."""
    ends = list(accumulate(int(np.count_nonzero(fate == split)) for split in SPLITS))
    order = np.argsort(fate, kind="stable")[: ends[-1]]  # SPLITS are the first fates
    if not len(order):
        return []
    lines = workspace.lines(rows, order)
    if keep:
        lines = workspace.engine.keep(lines)
    return [
        Piece(
            split,
            Text(lines.data, lines.offsets[begin : end + 1]),
            None if rank is None else rank[order[begin:end]],
        )
        for split, begin, end in zip(SPLITS, [0, *ends], ends, strict=False)
        if begin < end
    ]


def _as_text(lines: Sequence[bytes]) -> Text:
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:])
    return Text(np.frombuffer(b"".join(lines), np.uint8), offsets)


def _check_sample(workspace: Workspace, rows: Rows, fate: U8) -> bool:
    """Render one row, the shortest of the first few, by the plain-Python reference too, and compare.

    Returns whether there was a row to compare.
    """
    first = np.flatnonzero(fate == Fate.TRAIN)[:CHECKED_ROWS]
    if not len(first):
        return False
    chosen = first[[np.argmin(rows.records.length[first])]]
    table, program = workspace.line_table(rows)
    columns = [rows.column(column) for column in table.columns]
    want = reference.render(table, program, columns, chosen, AS_JSON, rows.bound.first, Scratch()).row(0)
    have = workspace.lines(rows, chosen).row(0)
    if want != have:
        raise ValidationError(
            f"the {workspace.engine.name} engine rendered a row otherwise than the reference: "
            f"{have[:200]!r} instead of {want[:200]!r}; please report this"
        )
    return True
