"""The texts of rows that may be near-duplicates: read from the input in a narrow third pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BufferedWriter
from pathlib import Path

import numpy as np

from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.disk import output_fault, require_space
from forge_gpu.job.events.events import Listener
from forge_gpu.job.rows.compared import joined
from forge_gpu.job.rows.workspace import Workspace, changed, folder_of
from forge_gpu.job.run import passes
from forge_gpu.job.run.pool import Executor
from forge_gpu.job.state.inputs import Item
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.plain import frozen


class CandidateTexts:
    """Compared texts of some rows, by the row's number in the job.

    `fetch` reads those that are not held from the ranges they lie in, and adds them to the file; so every
    candidate's text is read from the input once. Memory: 8 bytes a row of the job, and a range's texts.
    """

    def __init__(
        self,
        path: Path,
        items: Sequence[Item],
        pool: Executor[Workspace],
        chunk_bytes: int,
        listener: Listener,
        check_stop: Callable[[], None],
    ) -> None:
        self._path = path.with_name(path.name + PARTIAL)
        self._items, self._pool, self._chunk_bytes = items, pool, chunk_bytes
        self._listener, self._check_stop = listener, check_stop
        self._starts = np.zeros(1, np.int64)
        self._text_bytes = self._offset = np.zeros(0, np.int64)
        self._size = 0

    @property
    def folder(self) -> Path:
        """Where they are held."""
        return self._path.parent

    def begin(self, starts: I64, text_bytes: I64) -> None:
        """starts: int64[items + 1], the first row of each range, and of none after the last. text_bytes:
        int64[n], the size of each row's text. Nothing is held yet."""
        self._starts, self._text_bytes = starts, text_bytes
        self._offset = np.full(len(text_bytes), -1, np.int64)
        self._path.write_bytes(bytes(layout.PADDING))
        self._size = layout.PADDING

    def fetch(self, rows: I64) -> None:
        """Hold the texts of `rows`, ascending. Raises InputError where the input is no longer as it was."""
        rows = rows[self._offset[rows] < 0]
        if not len(rows):
            return
        ends = self._size + np.cumsum(self._text_bytes[rows])
        bounds = np.searchsorted(rows, self._starts)
        units = [
            _RowsOfRange(item, rows[begin:end] - first, self._text_bytes[rows[begin:end]])
            for item, begin, end, first in zip(
                self._items, bounds[:-1].tolist(), bounds[1:].tolist(), self._starts.tolist(), strict=False
            )
            if begin < end
        ]
        try:
            with open(self._path, "ab") as file:
                work = TextsPass(units, file, self._chunk_bytes)
                passes.run(work, self._pool, self._listener, self._check_stop)
        except OSError as fault:
            raise output_fault(fault, self._path) from fault
        self._offset[rows] = ends - self._text_bytes[rows]
        self._size = int(ends[-1])

    def read(self, rows: I64) -> Text:
        """The texts of rows that are held, in their order; by any thread."""
        from forge_gpu.kernels.cpu.token_rows import gather

        # The zeros that the file begins with come behind the texts.
        sizes = np.concatenate((np.asarray(self._text_bytes[rows]), [layout.PADDING]))
        starts = np.concatenate((self._offset[rows], [0]))
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        held = np.asarray(np.memmap(self._path, np.uint8, "r"))
        return Text(gather(held, starts, offsets), offsets[:-1])

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


@frozen
class _RowsOfRange:
    """Rows of a range, by their number within it, ascending. sizes: of the text of each."""

    item: Item
    rows: I64
    sizes: I64


class TextsPass(passes.Pass[_RowsOfRange, Text, Text]):
    """The compared texts of some rows, one after the other in one file. A run that goes on begins anew."""

    stage = "decide"

    def __init__(self, units: Sequence[_RowsOfRange], file: BufferedWriter, chunk_bytes: int) -> None:
        self.units = units
        self._file, self._chunk_bytes = file, chunk_bytes

    def require_room(self) -> None:
        total = sum(int(unit.sizes.sum()) for unit in self.units)
        require_space(Path(self._file.name).parent, total, "comparing candidates")

    def task(self, unit: _RowsOfRange) -> Callable[[Workspace], Text]:
        return partial(read_texts, item=unit.item, required=unit.rows, chunk_bytes=self._chunk_bytes)

    def take(self, made: Text) -> Text:
        return made

    def save(self, unit: _RowsOfRange, taken: Text) -> int:
        if not np.array_equal(np.diff(taken.offsets), unit.sizes):
            raise changed(unit.item)
        self._file.write(taken.data[: taken.offsets[-1]].tobytes())
        return len(taken)

    def size(self, unit: _RowsOfRange) -> int:
        return unit.item.range.size


def read_texts(workspace: Workspace, item: Item, required: I64, chunk_bytes: int) -> Text:
    """The compared texts of some rows of a range, by their number within it, ascending."""
    assert workspace.near is not None
    texts: list[Text] = []
    first = 0
    for chunk in workspace.chunks(item, chunk_bytes):
        rows = workspace.reader.read(chunk, judge=False, place=partial(folder_of, item))
        inside = required[(required >= first) & (required < first + len(rows))] - first
        if len(inside):
            texts.append(joined([workspace.near.text.of(rows, inside)]))
        first += len(rows)
        if first > required[-1]:
            break
    return joined(texts)
