"""JSON lines: what is rendered is what is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
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
from forge_gpu.io.sinks.lines import BLOCK_BYTES, LinesToArrow, blocks_of_lines, in_pieces, scan_lines
from forge_gpu.io.sinks.shards import ShardedFormat, ShardRows
from forge_gpu.io.sinks.unfinished import UnfinishedFile
from forge_gpu.kernels.layout import U8, Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen

SUFFIX = ".jsonl"
NEWLINE = 10
PIECES = 4
"""Blocks of lines that are looked at at once, where there are threads for that."""


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
        scratches = [Scratch() for _ in range(1 if beside is None else PIECES)]
        digest, rows = hashlib.sha256(), 0
        for block in blocks_of_lines(path, len(scratches) * BLOCK_BYTES):
            before = rows
            looks = [
                _begun(beside, partial(_look, piece, fields, scratch, path))
                for piece, scratch in zip(in_pieces(block, len(scratches)), scratches, strict=True)
            ]
            digest.update(block.data)
            for look in looks:
                count, unsound = look()
                if unsound is not None:
                    row, field = unsound
                    raise ValidationError(f"{path}: line {rows + row + 1} has no {field}")
                rows += count
            if block[-1] != NEWLINE:  # as only the last block's can be
                raise ValidationError(f"{path}: its last line has no end")
            on_block(rows - before, len(block))
        return rows, digest.hexdigest()


Look = tuple[int, tuple[int, str] | None]
"""The rows of lines; the first of them that lacks a field, and that field's name."""


def _look(lines: U8, fields: Sequence[Field], scratch: Scratch, path: Path) -> Look:
    records = scan_lines(lines, tuple(field.name for field in fields), scratch, path)
    for field in fields:
        is_sound = field.is_sound(records.columns[field.name])
        if not is_sound.all():
            return len(records), (int(np.flatnonzero(~is_sound)[0]), field.name)
    return len(records), None


def _begun(beside: Executor | None, work: Callable[[], Look]) -> Callable[[], Look]:
    """Waits for work that is done beside; without an executor, does it."""
    return work if beside is None else beside.submit(work).result


FORMAT = Jsonl(SUFFIX, (SUFFIX + PARTIAL,))
