"""The first pass: read every row once, judge it and note its facts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from forge_gpu.errors import StrictError
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.job.facts import registry
from forge_gpu.job.job import Job
from forge_gpu.job.output.rejected import LineCounter, rejected_record
from forge_gpu.job.output.space import require_for_index
from forge_gpu.job.rows.kinds import kinds_seen
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace, changed, folder_of
from forge_gpu.job.run import passes
from forge_gpu.job.state import index
from forge_gpu.job.state.index import Block, RangeFacts, RowIndex
from forge_gpu.job.state.inputs import Item, Place, places
from forge_gpu.kernels.layout import U8


def index_pass(job: Job, check_stop: Callable[[], None]) -> int:
    """Leave an index file for every range in the checkpoint; returns the rows of all of them.

    Rows after the job's limit get none. StrictError at the first rejected row of a strict job.
    """
    work = IndexPass(job)
    try:
        work.take_up()
        passes.run(work, job.pool, job.listener, check_stop)
    except _RejectedRow as rejected:  # the pool is at rest: its first workspace can read the range again
        item, checkpoint = rejected.item, job.checkpoint
        before = [index.read_facts(checkpoint.index_path(number)) for number in range(item.number)]
        place = places(job.inputs.items, before)[item.number]
        message = _first_rejected(job.pool.first, job.budget.chunk_bytes, item, rejected.reason, place)
        raise StrictError(*message) from None
    return work.rows


class _RejectedRow(Exception):
    """A range of a strict job has one. reason: of its rows."""

    def __init__(self, item: Item, reason: U8) -> None:
        super().__init__(item, reason)
        self.item, self.reason = item, reason


class IndexPass(passes.Pass[Item, RowIndex, RowIndex]):
    """An index file a range. rows: of the ranges so far, in the order of the input."""

    stage = "index"

    def __init__(self, job: Job) -> None:
        self.units = job.inputs.items
        self.rows = self._records = 0
        self._job, self._checkpoint = job, job.checkpoint
        self._next = 0  # the first range that is not counted

    def is_done(self, unit: Item) -> bool:
        return self._checkpoint.has_index(unit.number)

    def require_room(self) -> None:
        job = self._job
        require_for_index(job.spec, job.inputs, self._checkpoint, job.expansions)

    def task(self, unit: Item) -> Callable[[Workspace], RowIndex]:
        if self._rows_left() == 0:
            return partial(no_index, item=unit)
        return partial(index_range, item=unit, chunk_bytes=self._job.budget.chunk_bytes)

    def take(self, made: RowIndex) -> RowIndex:
        return made

    def save(self, unit: Item, taken: RowIndex) -> int:
        left = self._rows_left()
        if left is not None:
            taken = index.cut(taken, left) if left else RowIndex(RangeFacts())
        self._count(unit, taken)
        self._checkpoint.save_index(unit.number, taken)
        self.take_up()
        return taken.rows

    def fates(self, unit: Item, taken: RowIndex) -> dict[str, int]:
        return {name(Fate.REJECTED): int(np.count_nonzero(taken.arrays["reason"])) if taken.rows else 0}

    def reasons(self, unit: Item, taken: RowIndex) -> dict[str, int]:
        if not taken.rows:
            return {}
        rows = np.bincount(taken.arrays["reason"], minlength=max(Reason) + 1)
        return {name(reason): int(rows[reason]) for reason in Reason if reason and rows[reason]}

    def size(self, unit: Item) -> int:
        return unit.range.size

    def take_up(self) -> None:
        """Count the next ranges, as far as an earlier run has indexed them."""
        names = ("reason",) if self._job.spec.strict else ()
        while self._next < len(self.units) and self.is_done(self.units[self._next]):
            item = self.units[self._next]
            path = self._checkpoint.index_path(item.number)
            self._count(item, RowIndex(index.read_facts(path), index.read_arrays(path, names)))

    def _count(self, item: Item, made: RowIndex) -> None:
        if self._job.spec.strict and made.rows and made.arrays["reason"].any():
            raise _RejectedRow(item, made.arrays["reason"])
        self.rows += made.rows
        self._records += made.facts.records
        self._next = item.number + 1

    def _rows_left(self) -> int | None:
        limit = self._job.spec.limit
        return None if limit is None else max(limit - self._records, 0)


def _first_rejected(
    workspace: Workspace, chunk_bytes: int, item: Item, reasons: U8, place: Place
) -> tuple[str, str]:
    """Which row of a range is the first that is rejected, and why; and more of that, which may quote the row.

    reasons: of its rows.
    """
    first = int(np.flatnonzero(reasons)[0])
    row, of_file, line = 0, place.first_in_file, place.first_line
    for chunk in workspace.chunks(item, chunk_bytes):
        rows = workspace.reader.read(chunk, judge=False, place=partial(folder_of, item))
        if first < row + len(rows):
            lines = LineCounter(rows, line) if item.source.format.kind == "jsonl" else None
            path, reason = item.source.file.path, reasons[first]
            record = rejected_record(rows, first - row, reason, path, of_file, lines)
            at = f"line {record['line']}" if "line" in record else f"row {record['row']}"
            detail = f": {record['detail']}" if "detail" in record else ""
            return f"{path}: {at} is rejected: {record['reason']}", detail
        row, of_file = row + len(rows), of_file + len(rows.source)
        line += rows.lines
    raise changed(item)


def no_index(workspace: Workspace, item: Item) -> RowIndex:
    """The index of a range behind the limit: it is not read."""
    return RowIndex(RangeFacts())


def index_range(workspace: Workspace, item: Item, chunk_bytes: int) -> RowIndex:
    """The index of one range."""
    chunks = [
        index_rows(workspace, *workspace.judge(item, chunk)) for chunk in workspace.chunks(item, chunk_bytes)
    ]
    return index.join(chunks, in_blocks=item.source.rows is None)


def index_rows(workspace: Workspace, rows: Rows, digest: int) -> RowIndex:
    """The index of one chunk. digest: of its source."""
    arrays = registry.compute(workspace, rows)
    chunk = rows.chunk
    facts = RangeFacts(
        blocks=(Block(chunk.begin, len(rows), len(rows.source), rows.lines, chunk.size, digest),),
        warned={reason: int(mask.sum()) for reason, mask in rows.warned.items()},
        kinds={column: kinds_seen(rows.column(column)) for column in workspace.config.output.columns},
        render_paths=dict(rows.bound.counts),
    )
    return RowIndex(facts, arrays)
