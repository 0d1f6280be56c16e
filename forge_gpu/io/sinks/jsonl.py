"""JSON lines: what is rendered is what is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from forge_gpu.errors import ValidationError
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import (
    Field,
    OnBlock,
    OutputPath,
    PlacingSink,
    Positions,
    Sink,
    Written,
)
from forge_gpu.io.sinks.lines import LinesToArrow, blocks_of_lines, scan_lines
from forge_gpu.io.sinks.shards import ShardedFormat, ShardRows
from forge_gpu.io.sinks.unfinished import UnfinishedFile
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen

SUFFIX = ".jsonl"
NEWLINE = 10


class JsonlFile(PlacingSink):
    """One file of lines, written under another name until it is whole."""

    def __init__(self, path: Path, rows: int, positions: Positions) -> None:
        self.path, self._rows = path, rows
        self._file = UnfinishedFile(path, positions)

    def place(self, lines: Text) -> Write:
        return self._file.place(lines.data[lines.offsets[0] : lines.offsets[-1]])

    def begin_sync(self) -> None:
        self._file.begin_sync()

    def sync(self) -> Positions:
        self._file.sync()
        return {self._file.path.name: self._file.position()}

    def finish(self) -> list[Written]:
        self._file.sync()
        self._file.publish()
        return [Written(self.path, self._rows)]

    def close(self) -> None:
        self._file.close()


@frozen
class Jsonl(ShardedFormat):
    """See `base.Format`."""

    def shard(self, shard: ShardRows) -> Sink:
        return JsonlFile(shard.folder / (shard.stem + self.suffix), shard.rows, shard.positions)

    def room(self, lines: int) -> int:
        return lines

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        to_arrow = LinesToArrow(columns)
        for block in blocks_of_lines(path):
            batch = to_arrow.batch(block, path)
            for start in range(0, len(batch), batch_rows):
                yield batch.slice(start, batch_rows)

    def check(
        self,
        path: Path,
        fields: Sequence[Field],
        on_block: OnBlock,
        beside: Executor | None,
    ) -> tuple[int, str]:
        names = tuple(field.name for field in fields)
        scratch, digest = Scratch(), hashlib.sha256()
        rows = 0
        for block in blocks_of_lines(path):
            with _meanwhile(beside, partial(digest.update, block.data)):
                records = scan_lines(block, names, scratch, path)
                for field in fields:
                    is_sound = field.is_sound(records.columns[field.name])
                    if not is_sound.all():
                        row = rows + int(np.flatnonzero(~is_sound)[0])
                        raise ValidationError(f"{path}: line {row + 1} has no {field.name}")
            if block[-1] != NEWLINE:  # as only the last block's can be
                raise ValidationError(f"{path}: its last line has no end")
            rows += len(records)
            on_block(len(records), len(block))
        return rows, digest.hexdigest()


@contextmanager
def _meanwhile(beside: Executor | None, work: Callable[[], None]) -> Iterator[None]:
    """Work that is done beside what is done inside, and before it without an executor."""
    if beside is None:
        work()
        yield
        return
    waiting = beside.submit(work)
    yield
    waiting.result()


FORMAT = Jsonl(SUFFIX, (SUFFIX + PARTIAL,))
