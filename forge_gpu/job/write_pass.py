"""The second pass: read every row again and write it where the decisions say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.io.growing import Write
from forge_gpu.io.inputs import has_changed
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.block_pass import BlockPass
from forge_gpu.job.job import Job
from forge_gpu.job.output.collector import SeenRow
from forge_gpu.job.output.outputs import Piece
from forge_gpu.job.output.rejected import rejected_lines, source_blocks
from forge_gpu.job.output.space import require_for_writing
from forge_gpu.job.rows.by_reference import require_as_reference, shortest
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.tokenizers import counted_rows, depends_on_lengths
from forge_gpu.job.rows.workspace import Workspace, changed, is_same_source
from forge_gpu.job.run import passes
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.inputs import Item, PlacedBlock
from forge_gpu.job.state.token_table import SpooledRows, TokenRows
from forge_gpu.kernels.layout import AS_JSON, I64, U8, Text
from forge_gpu.plain import frozen
from forge_gpu.templates.forms import form_of

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SEEN = 2**17
"""Bytes of a row that a collector sees."""


def write_pass(job: Job, check_stop: Callable[[], None]) -> int:
    """Append the rows of every block to the outputs, in order, from where the checkpoint says; the rows of
    all of them."""
    job.inputs.kept.seal()
    passes.run(WritePass(job), job.pool, job.listener, check_stop)
    job.inputs.kept.close()
    _require_same_files(job)
    return len(job.decisions.fate)


def _require_same_files(job: Job) -> None:
    """Raise InputError for a file that is not the one that was resolved, of those that no digest watches: a
    source of tables watches what it has opened alone, and what a device holds is not read again."""
    spool = job.checkpoint.spool_folder.absolute()
    on_device = job.pool.first.on_device
    for item in {item.file: item for item in job.inputs.items}.values():
        file = item.source.file
        if (
            (on_device or item.source.rows is not None)
            and not Path(file.url).is_relative_to(spool)
            and has_changed(file)
        ):
            raise changed(item)


class WritePass(BlockPass["ChunkLines"]):
    """Lines of every block, appended to the outputs; the checkpoint notes how many blocks are written."""

    stage = "write"

    def __init__(self, job: Job) -> None:
        super().__init__(job, job.checkpoint.state.written_blocks)
        self.hold, self._decisions = held, job.decisions
        config = job.spec.config
        self._notes_tokens = form_of(config).is_encoded and not depends_on_lengths(config)
        self._columns = job.columns if takes_columns(config) else None
        self._seen = np.zeros(0, np.int64)  # rows that the collector asks for
        if job.collector is not None:
            self._seen = job.collector.choose(job.spec.output, job.decisions, self._before > 0)
        self._checked: int | None = None  # the last range of which a row is compared with the reference

    def require_room(self) -> None:
        job = self._job
        require_for_writing(job.spec, job.inputs, job.checkpoint, self._decisions, job.ranges, job.expansions)

    def task(self, unit: PlacedBlock) -> Callable[[Workspace], Iterable[ChunkLines]]:
        """A row is checked in the first block of each range that trains."""
        decisions, rows = self._decisions, unit.rows
        fates = np.asarray(decisions.fate[rows])
        check = unit.item != self._checked and bool((fates == np.uint8(Fate.TRAIN)).any())
        if check:
            self._checked = unit.item
        return partial(
            write_block,
            item=self._job.inputs.items[unit.item],
            placed=unit,
            fates=fates,
            reasons=np.asarray(decisions.reason[rows]),
            ranks=None
            if decisions.rank is None
            else np.asarray(decisions.rank[decisions.copies_within(rows)]),
            chunk_bytes=self._job.budget.chunk_bytes,
            check=check,
            columns=self._columns,
            spooled=spooled_rows(self._job, rows),
            copies=copies_of(decisions, rows),
            seen=self._seen[slice(*np.searchsorted(self._seen, (rows.start, rows.stop)))] - rows.start,
        )

    def append(self, chunk: ChunkLines) -> list[Write]:
        writes = [self._job.outputs.append(piece) for piece in chunk.pieces()]
        if chunk.counts is not None:
            self._job.token_writer.append(TokenRows(chunk.counts, *_NO_IDS))
        if chunk.seen and self._job.collector is not None:
            self._job.collector.take(chunk.seen)
        return writes

    def note(self, blocks: int) -> None:
        self._checkpoint.state.positions = self._job.outputs.sync()
        if self._notes_tokens:
            self._job.token_writer.sync()
        self._checkpoint.state.written_blocks = blocks

    def fates(self, unit: PlacedBlock, taken: list[Write]) -> dict[str, int]:
        counts = np.bincount(self._decisions.fate[unit.rows], minlength=len(Fate))
        return {name(fate): int(counts[fate]) for fate in Fate if counts[fate]}


def takes_columns(config: Config) -> bool:
    """Whether rows go to their files as columns: their format has some, and nothing is done with lines."""
    output = config.output
    in_order = output.order == "input" and output.packing == "none"
    return in_order and output.media != "embed" and format_of(output.format).takes_columns


@frozen
class ChunkLines:
    """The rows of a chunk, those of each split together: lines, rendered by one call into memory that the
    next one uses again, or columns in memory of their own. splits: which of them are a split's, and their
    ranks. seen: rows for the collector."""

    rows: Text | pa.RecordBatch
    splits: Sequence[tuple[Fate, int, int, I64 | None]]
    rejected: Sequence[bytes]
    seen: Sequence[SeenRow] = ()
    counts: np.ndarray | None = None
    """`token_table.ROW` of the chunk's rows, where they are encoded as they are written."""

    def pieces(self) -> Iterator[Piece]:
        for split, begin, end, rank in self.splits:
            if isinstance(self.rows, Text):
                yield Piece(split, Text(self.rows.data, self.rows.offsets[begin : end + 1]), rank)
            else:
                yield Piece(split, self.rows.slice(begin, end - begin), rank)
        if self.rejected:
            yield Piece(Fate.REJECTED, _as_text(self.rejected), None)


_NO_IDS = np.zeros(0, np.uint32), np.zeros(0, np.uint8)


def spooled_rows(job: Job, rows: slice) -> SpooledRows | None:
    """The tokens of rows of a job, where they were encoded before; else None."""
    if not depends_on_lengths(job.spec.config):
        return None
    return job.tokens.of(np.array(job.token_rows[rows]))


def copies_of(decisions: Decisions, rows: slice) -> I64 | None:
    """How often each of some rows is written; None where each is written once."""
    return None if decisions.first_copy is None else np.asarray(decisions.copies_of(rows))


def held(workspace: Workspace, chunk: ChunkLines) -> ChunkLines:
    """The lines that a workspace has just rendered, until their block's turn is over."""
    if not chunk.splits or not isinstance(chunk.rows, Text):
        return chunk
    return replace(chunk, rows=workspace.engine.keep(chunk.rows))


def write_block(
    workspace: Workspace,
    item: Item,
    placed: PlacedBlock,
    fates: U8,
    reasons: U8,
    ranks: I64 | None,
    chunk_bytes: int,
    check: bool,
    seen: I64,
    columns: Mapping[str, str] | None = None,
    spooled: SpooledRows | None = None,
    copies: I64 | None = None,
) -> Iterator[ChunkLines]:
    """Render the rows of a block of a range, chunk by chunk. fates, reasons, ranks: its share of what was
    decided. check: compare a row with the reference. seen: numbers of rows of the block for the collector.
    columns: those of the output with their types, where rows are written as columns. spooled: the tokens of
    its rows, where they are known. copies: how often each is written; ranks are then of copies."""
    row, record, line, digest = 0, 0, placed.place.first_line, 0
    first_copy = None if copies is None else np.concatenate(([0], np.cumsum(copies)))
    bind = spooled is None or _has_detail(reasons[fates == np.uint8(Fate.REJECTED)])
    workspace.engine.release_result()
    for chunk in workspace.chunks(replace(item, range=placed.range), chunk_bytes, placed.block.records):
        rows, of_chunk = workspace.read_again(item, chunk, bind=bind)
        digest += of_chunk
        fate, reason = fates[row : row + len(rows)], reasons[row : row + len(rows)]
        counts = None
        if spooled is not None:
            written = np.flatnonzero(fate <= np.uint8(max(SPLITS)))
            often = None if copies is None else copies[row : row + len(rows)][written]
            workspace.give_tokens(rows, written, spooled.of(row, len(rows)), often)
        elif workspace.encoder is not None:
            counted = counted_rows(workspace.config, fate, reason, rows.live)
            counts = workspace.encode_lines(rows, _by_split(fate)[0], counted)[: len(fate)]
        if check:
            check = not _check_sample(workspace, rows, fate, columns)
        workspace.written(rows, _by_split(fate)[0])
        own = slice(row, row + len(rows))
        if first_copy is not None:
            own = slice(first_copy[row], first_copy[min(row + len(rows), len(fates))])
        of_ranks = None if ranks is None else ranks[own]
        written_rows, splits = _split_rows(workspace, rows, fate, of_ranks, columns)
        rejected: list[bytes] = []
        refused = np.flatnonzero(fate == np.uint8(Fate.REJECTED))
        if len(refused):
            first_line = line if item.source.format.kind == "jsonl" else None
            first, path = placed.place.first_in_file + record, item.source.file.path
            rejected = list(rejected_lines(rows, refused, reason, path, first, first_line))
        looked_at = _seen_rows(rows, seen, row, record, item, placed)
        yield ChunkLines(written_rows, splits, rejected, looked_at, counts)
        row, record = row + len(rows), record + len(rows.source)
        line += rows.lines
    if row < placed.block.rows or not is_same_source(item, digest, placed.block.digest):
        raise changed(item)


def _has_detail(reasons: U8) -> bool:
    """Whether a renderer has more to say about one of some reasons."""
    of_records = (reasons >= Reason.MISSING_FIELD) & (reasons < Reason.EMPTY_FIELD)
    return bool((of_records & ~np.isin(reasons, (Reason.NOTHING_TRAINED, Reason.UNKNOWN_ORIGIN))).any())


def _seen_rows(
    rows: Rows, seen: I64, row: int, record: int, item: Item, placed: PlacedBlock
) -> list[SeenRow]:
    """Those of the rows that lie in a chunk. row, record: the numbers of its first ones in the block."""
    here = seen[slice(*np.searchsorted(seen, (row, row + len(rows))))]
    return [
        SeenRow(
            placed.place.first + number,
            item.source.file.path,
            placed.place.first_in_file + record + rows.record_of(number - row),
            rows.detail(number - row),
            _beginning(source_blocks(rows, number - row)),
        )
        for number in map(int, here)
    ]


def _beginning(blocks: Iterator[bytes]) -> bytes:
    source = b""
    for block in blocks:
        source += block[: MOST_SEEN - len(source)]
        if len(source) == MOST_SEEN:
            break
    return source


def _split_rows(
    workspace: Workspace, rows: Rows, fate: U8, rank: I64 | None, columns: Mapping[str, str] | None
) -> tuple[Text | pa.RecordBatch, list[tuple[Fate, int, int, I64 | None]]]:
    """A chunk's rows, split by split, as lines or columns; see ChunkLines."""
    if rows.line_rows is not None:
        fate = fate[rows.line_rows]
        if rank is not None:
            of_lines = rows.line_rows if rows.line_copies is None else rows.line_copies
            rank = rank[of_lines] + np.arange(len(of_lines)) - np.searchsorted(of_lines, of_lines)
    order, ends = _by_split(fate)
    if not len(order):
        return _as_text([]), []
    splits = [
        (split, begin, end, None if rank is None else rank[order[begin:end]])
        for split, begin, end in zip(SPLITS, [0, *ends], ends, strict=False)
        if begin < end
    ]
    if columns is not None:
        return workspace.columns(columns).batch(rows, order), splits
    return workspace.lines(rows, order), splits


def _by_split(fate: U8) -> tuple[I64, list[int]]:
    """(the rows that are written, those of each split together; where each split's end)"""
    ends = np.cumsum(np.bincount(fate, minlength=len(SPLITS))[: len(SPLITS)]).tolist()  # the first fates
    return np.argsort(fate, kind="stable")[: ends[-1]], ends


def _as_text(lines: Sequence[bytes]) -> Text:
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:])
    return Text(np.frombuffer(b"".join(lines), np.uint8), offsets)


def _check_sample(workspace: Workspace, rows: Rows, fate: U8, columns: Mapping[str, str] | None) -> bool:
    """Compare a row of a chunk with the reference's, a short one. Of lists there is nothing to render; their
    texts were compared when they were encoded.

    Returns whether there was a row to compare.
    """
    chosen = shortest(rows, np.flatnonzero(fate == Fate.TRAIN))
    if len(chosen) and columns is not None:
        workspace.columns(columns).require_as_reference(rows, chosen)
    elif len(chosen):
        if rows.line_rows is not None:
            chosen = np.searchsorted(rows.line_rows, chosen)
        require_as_reference(workspace.engine, *workspace.line_columns(rows), chosen, AS_JSON)
    return len(chosen) > 0
