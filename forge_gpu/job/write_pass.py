"""The second pass: read every row again and write it where the decisions say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate
from forge_gpu.io.inputs import has_changed
from forge_gpu.job.events.events import ChunkDone
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.index_pass import physical_lines
from forge_gpu.job.job import Job
from forge_gpu.job.output.outputs import Outputs, Piece
from forge_gpu.job.output.rejected import rejected_lines
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace, changed
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.inputs import Item, PlacedPart
from forge_gpu.kernels.layout import AS_JSON, I64, U8, Text
from forge_gpu.kernels.reference import render as reference
from forge_gpu.kernels.scratch import Scratch

STAGE = "write"
CHECKED_ROWS = 16
"""Of the first so many training rows of a chunk, one is rendered by the reference too: once a range."""
SAVE_EVERY = 2.0
"""Seconds of work that a killed run may lose: how often what is written is synced and noted."""


def write_pass(job: Job, decisions: Decisions, outputs: Outputs, check_stop: Callable[[], None]) -> None:
    """Append the rows of every part to the outputs, in order, from where the checkpoint says."""
    parts = job.parts[job.checkpoint.state.written_parts :]
    writer = _Writer(outputs, job.checkpoint)
    tasks = _tasks(job, parts, decisions, outputs.append if job.pool.threads == 1 else None)
    stopped: BaseException | None = None
    began = time.monotonic()
    with closing(job.pool.map(tasks, writer.take)) as taken:
        for placed, _ in zip(parts, taken, strict=True):
            now = time.monotonic()
            job.listener(ChunkDone(STAGE, placed.part.rows, placed.span.size, now - began, peak_memory()))
            began = now
            try:
                check_stop()
            except BaseException as asked:
                stopped = asked
                break
    if stopped is not None:  # the pool is at rest, and what it has written since is noted as well
        writer.save()
        raise stopped
    _require_same_tables(job)


def _require_same_tables(job: Job) -> None:
    """Raise InputError for a table whose file is another by now: the rows of tables have no digest."""
    spool = job.checkpoint.spool_folder.absolute()
    for item in {item.file: item for item in job.inputs.items}.values():
        file = item.source.file
        if item.source.rows is not None and not Path(file.url).is_relative_to(spool) and has_changed(file):
            raise changed(item)


def _tasks(
    job: Job, parts: Sequence[PlacedPart], decisions: Decisions, write: Callable[[Piece], None] | None
) -> Iterator[Callable[[Workspace], list[Piece]]]:
    """`write_part` for each part; a row is checked in the first part of each range that trains."""
    checked: int | None = None  # the last range with such a part
    for placed in parts:
        rows = slice(placed.place.first, placed.place.first + placed.part.rows)
        fates = np.asarray(decisions.fate[rows])
        check = placed.item != checked and bool((fates == np.uint8(Fate.TRAIN)).any())
        if check:
            checked = placed.item
        yield partial(
            write_part,
            item=job.inputs.items[placed.item],
            placed=placed,
            fates=fates,
            reasons=np.asarray(decisions.reason[rows]),
            ranks=None if decisions.rank is None else np.asarray(decisions.rank[rows]),
            chunk_bytes=job.budget.chunk_bytes,
            check=check,
            write=write,
        )


class _Writer:
    """Appends the pieces of parts, in order, and notes in the checkpoint how many parts are written."""

    def __init__(self, outputs: Outputs, checkpoint: Checkpoint) -> None:
        self._outputs, self._checkpoint = outputs, checkpoint
        self._parts = checkpoint.state.written_parts
        self._between_parts = True
        self._saved = time.monotonic()

    def take(self, pieces: Sequence[Piece]) -> None:
        """Append what was not yet of the next part."""
        self._between_parts = False
        for piece in pieces:
            self._outputs.append(piece)
        self._parts += 1
        self._between_parts = True
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Bring all to the disk and note it; not where a part was written in part: the note before stands."""
        if self._between_parts:
            self._checkpoint.state.positions = self._outputs.sync()
            self._checkpoint.state.written_parts = self._parts
            self._checkpoint.save()
            self._saved = time.monotonic()


def write_part(
    workspace: Workspace,
    item: Item,
    placed: PlacedPart,
    fates: U8,
    reasons: U8,
    ranks: I64 | None,
    chunk_bytes: int,
    check: bool,
    write: Callable[[Piece], None] | None,
) -> list[Piece]:
    """Render the rows of a part of a range. fates, reasons, ranks: its share of the decisions. check: compare
    a row with the reference. `write` takes each piece at once; without it they are kept."""
    kept: list[Piece] = []
    row, line, digest = 0, placed.place.first_line, 0
    workspace.engine.let_go()
    for chunk in workspace.chunks(replace(item, part=placed.span), chunk_bytes):
        rows, of_chunk = workspace.read_again(item, chunk)
        digest += of_chunk
        fate = fates[row : row + len(rows)]
        if check:
            check = not _check_sample(workspace, rows, fate)
        of_ranks = None if ranks is None else ranks[row : row + len(rows)]
        pieces = _split_pieces(workspace, rows, fate, of_ranks, keep=write is None)
        refused = np.flatnonzero(fate == np.uint8(Fate.REJECTED))
        if len(refused):
            first_line = line if item.source.format.kind == "jsonl" else None
            reason, first = reasons[row : row + len(rows)], placed.place.first_in_file + row
            lines = rejected_lines(rows, refused, reason, item.source.file.path, first, first_line)
            pieces.append(Piece(Fate.REJECTED, _as_text(list(lines)), None))
        if write is None:
            kept += pieces
        else:
            for piece in pieces:
                write(piece)
        row += len(rows)
        line += physical_lines(chunk, rows)
    if digest % 2**64 != placed.part.digest:
        raise changed(item)
    return kept


def _split_pieces(workspace: Workspace, rows: Rows, fate: U8, rank: I64 | None, keep: bool) -> list[Piece]:
    """The lines of a chunk's rows, split by split, rendered by one call. keep: beyond the next chunk."""
    ends = np.cumsum(np.bincount(fate, minlength=len(SPLITS))[: len(SPLITS)]).tolist()  # the first fates
    order = np.argsort(fate, kind="stable")[: ends[-1]]
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
