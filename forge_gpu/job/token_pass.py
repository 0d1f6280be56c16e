"""The pass between two decisions: encode the rows that are left, once, where what becomes of them depends on
how many tokens they have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from forge_gpu.io.growing import Write
from forge_gpu.job.block_pass import BlockPass
from forge_gpu.job.decide.verdict import OPEN
from forge_gpu.job.job import Job
from forge_gpu.job.output.space import require_for_encoding
from forge_gpu.job.rows.tokenizers import counted_rows
from forge_gpu.job.rows.workspace import Workspace, changed, is_same_source
from forge_gpu.job.run import passes
from forge_gpu.job.state.inputs import Item, PlacedBlock
from forge_gpu.job.state.token_table import TokenRows
from forge_gpu.kernels.layout import U8


def token_pass(job: Job, check_stop: Callable[[], None]) -> int:
    """Leave the tokens of all rows in the checkpoint's files, from where it says; the rows of all blocks."""
    work = TokenPass(job)
    passes.run(work, job.pool, job.listener, check_stop)
    work.stop()
    return sum(placed.block.rows for placed in job.blocks)


class TokenPass(BlockPass[TokenRows]):
    """Tokens of every block, appended to the files; the checkpoint notes how many blocks are there."""

    stage = "encode"

    def __init__(self, job: Job) -> None:
        super().__init__(job, job.checkpoint.state.encoded_blocks)
        self.hold, self._retained = _as_it_is, job.retained

    def require_room(self) -> None:
        require_for_encoding(self._job.spec, self._job.inputs, self._checkpoint, self._job.expansions)

    def task(self, unit: PlacedBlock) -> Callable[[Workspace], Iterable[TokenRows]]:
        return partial(
            encode_block,
            item=self._job.inputs.items[unit.item],
            placed=unit,
            fates=np.asarray(self._retained.fate[unit.rows]),
            reasons=np.asarray(self._retained.reason[unit.rows]),
            chunk_bytes=self._job.budget.chunk_bytes,
        )

    def append(self, chunk: TokenRows) -> Sequence[Write]:
        self._job.token_writer.append(chunk)
        return ()

    def note(self, blocks: int) -> None:
        writer, state = self._job.token_writer, self._checkpoint.state
        writer.sync()
        state.encoded_blocks, state.encoded_tokens = blocks, writer.tokens


def _as_it_is(workspace: Workspace, chunk: TokenRows) -> TokenRows:
    """What is made belongs to nobody else."""
    return chunk


def encode_block(
    workspace: Workspace, item: Item, placed: PlacedBlock, fates: U8, reasons: U8, chunk_bytes: int
) -> Iterator[TokenRows]:
    """Encode the rows of a block of a range, chunk by chunk. fates, reasons: its share of what is decided so
    far: rows that are still open are encoded to be written, others are counted."""
    row, digest = 0, 0
    workspace.engine.release_result()
    for chunk in workspace.chunks(replace(item, range=placed.range), chunk_bytes, placed.block.records):
        rows, of_chunk = workspace.read_again(item, chunk)
        digest += of_chunk
        own = slice(row, row + len(rows))
        counted = counted_rows(workspace.config, fates[own], reasons[own], rows.live)
        made = workspace.encode_cut(rows, np.flatnonzero(fates[own] == OPEN), counted)
        yield replace(made, table=made.table[: len(fates[own])])
        row += len(rows)
    if row < placed.block.rows or not is_same_source(item, digest, placed.block.digest):
        raise changed(item)
