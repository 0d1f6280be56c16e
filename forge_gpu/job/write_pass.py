"""The second pass: read every row again and write it where the decisions say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate, name
from forge_gpu.job.events.events import ChunkDone
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.job import Job
from forge_gpu.job.output.outputs import Outputs, Piece
from forge_gpu.job.output.rejected import rejected_lines
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace, changed
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.inputs import Item, PlacedBlock
from forge_gpu.kernels.layout import AS_JSON, I64, U8, Text
from forge_gpu.kernels.reference import render as reference
from forge_gpu.kernels.scratch import Scratch

STAGE = "write"
CHECKED_ROWS = 16
"""Of the first so many training rows of a chunk, one is rendered by the reference too: once a range."""
SAVE_EVERY = 2.0
"""Seconds of work that a killed run may lose: how often what is written is synced and noted."""


def write_pass(job: Job, decisions: Decisions, outputs: Outputs, check_stop: Callable[[], None]) -> None:
    """Append the rows of every block to the outputs, in order, from where the checkpoint says."""
    blocks = job.blocks[job.checkpoint.state.written_blocks :]
    writer = _Writer(outputs, job.checkpoint)
    tasks = _tasks(job, blocks, decisions)
    stopped: BaseException | None = None
    began = time.monotonic()
    with closing(job.pool.map(tasks, writer.take, held)) as taken:
        for placed, _ in zip(blocks, taken, strict=True):
            now = time.monotonic()
            job.listener(
                ChunkDone(
                    STAGE,
                    placed.block.rows,
                    placed.range.size,
                    now - began,
                    peak_memory(),
                    _fates(placed, decisions),
                )
            )
            began = now
            try:
                check_stop()
            except BaseException as asked:
                stopped = asked
                break
    if stopped is not None:  # the pool is at rest, and what it has written since is noted as well
        writer.save()
        raise stopped


def _fates(placed: PlacedBlock, decisions: Decisions) -> dict[str, int]:
    """Rows of a block by fate."""
    rows = slice(placed.place.first, placed.place.first + placed.block.rows)
    counts = np.bincount(decisions.fate[rows], minlength=len(Fate))
    return {name(fate): int(counts[fate]) for fate in Fate if counts[fate]}


def _tasks(
    job: Job, blocks: Sequence[PlacedBlock], decisions: Decisions
) -> Iterator[Callable[[Workspace], Iterable[ChunkLines]]]:
    """`write_block` for each block; a row is checked in the first block of each range that trains."""
    checked: int | None = None  # the last range with such a block
    for placed in blocks:
        rows = slice(placed.place.first, placed.place.first + placed.block.rows)
        fates = np.asarray(decisions.fate[rows])
        check = placed.item != checked and bool((fates == np.uint8(Fate.TRAIN)).any())
        if check:
            checked = placed.item
        yield partial(
            write_block,
            item=job.inputs.items[placed.item],
            placed=placed,
            fates=fates,
            reasons=np.asarray(decisions.reason[rows]),
            ranks=None if decisions.rank is None else np.asarray(decisions.rank[rows]),
            chunk_bytes=job.budget.chunk_bytes,
            check=check,
        )


class _Writer:
    """Appends the pieces of blocks, in order, and notes in the checkpoint how many are written."""

    def __init__(self, outputs: Outputs, checkpoint: Checkpoint) -> None:
        self._outputs, self._checkpoint = outputs, checkpoint
        self._blocks = checkpoint.state.written_blocks
        self._between_blocks = True
        self._saved = time.monotonic()

    def take(self, block: Iterable[ChunkLines]) -> None:
        """Append the next block."""
        self._between_blocks = False
        for chunk in block:
            for piece in chunk.pieces():
                self._outputs.append(piece)
        self._blocks += 1
        self._between_blocks = True
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Bring all to the disk and note it; not within a block: then the note before stands."""
        if self._between_blocks:
            self._checkpoint.state.positions = self._outputs.sync()
            self._checkpoint.state.written_blocks = self._blocks
            self._checkpoint.save()
            self._saved = time.monotonic()


@dataclass(frozen=True, slots=True)
class ChunkLines:
    """The lines of a chunk: those of each split together, rendered by one call into memory that the next one
    uses again. splits: which of the lines are a split's, and their ranks."""

    lines: Text
    splits: Sequence[tuple[Fate, int, int, I64 | None]]
    rejected: Sequence[bytes]

    def pieces(self) -> Iterator[Piece]:
        for split, begin, end, rank in self.splits:
            yield Piece(split, Text(self.lines.data, self.lines.offsets[begin : end + 1]), rank)
        if self.rejected:
            yield Piece(Fate.REJECTED, _as_text(self.rejected), None)


def held(workspace: Workspace, chunk: ChunkLines) -> ChunkLines:
    """The lines that a workspace has just rendered, until their block's turn is over."""
    return replace(chunk, lines=workspace.engine.keep(chunk.lines)) if chunk.splits else chunk


def write_block(
    workspace: Workspace,
    item: Item,
    placed: PlacedBlock,
    fates: U8,
    reasons: U8,
    ranks: I64 | None,
    chunk_bytes: int,
    check: bool,
) -> Iterator[ChunkLines]:
    """Render the rows of a block of a range, chunk by chunk. fates, reasons, ranks: its share of what was
    decided. check: compare a row with the reference."""
    row, line, digest = 0, placed.place.first_line, 0
    workspace.engine.let_go()
    for chunk in workspace.chunks(replace(item, range=placed.range), chunk_bytes):
        rows, of_chunk = workspace.read_again(item, chunk)
        digest += of_chunk
        fate = fates[row : row + len(rows)]
        if check:
            check = not _check_sample(workspace, rows, fate)
        of_ranks = None if ranks is None else ranks[row : row + len(rows)]
        lines, splits = _split_lines(workspace, rows, fate, of_ranks)
        rejected: list[bytes] = []
        refused = np.flatnonzero(fate == np.uint8(Fate.REJECTED))
        if len(refused):
            first_line = line if item.source.format.kind == "jsonl" else None
            reason, first = reasons[row : row + len(rows)], placed.place.first_in_file + row
            path = item.source.file.path
            rejected = list(rejected_lines(rows, refused, reason, path, first, first_line))
        yield ChunkLines(lines, splits, rejected)
        row += len(rows)
        line += chunk.lines(rows.records)
    if 0 != digest % 2**64 != placed.block.digest != 0:  # 0: one of the passes took none of a table
        raise changed(item)


def _split_lines(
    workspace: Workspace, rows: Rows, fate: U8, rank: I64 | None
) -> tuple[Text, list[tuple[Fate, int, int, I64 | None]]]:
    """The lines of a chunk's rows, split by split, rendered by one call; see ChunkLines."""
    ends = np.cumsum(np.bincount(fate, minlength=len(SPLITS))[: len(SPLITS)]).tolist()  # the first fates
    order = np.argsort(fate, kind="stable")[: ends[-1]]
    if not len(order):
        return _as_text([]), []
    splits = [
        (split, begin, end, None if rank is None else rank[order[begin:end]])
        for split, begin, end in zip(SPLITS, [0, *ends], ends, strict=False)
        if begin < end
    ]
    return workspace.lines(rows, order), splits


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
            f"the {workspace.engine.name} engine rendered a row otherwise than the reference; "
            "please report this",
            f": {have[:200]!r} instead of {want[:200]!r}",
        )
    return True
