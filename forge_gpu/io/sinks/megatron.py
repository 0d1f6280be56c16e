"""Megatron's indexed dataset: `.bin`, the ids of all rows one behind the other; `.idx`, where each begins.

The format is that of `megatron/core/datasets/indexed_dataset.py`. Each row is a sequence and a document. It
has no labels: every token is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from forge_gpu.errors import ValidationError
from forge_gpu.io.atomic import PARTIAL, replacing
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.sinks.base import (
    Field,
    FileFormat,
    OnBlock,
    OutputPath,
    Positions,
    Sink,
    SplitRows,
    Written,
)
from forge_gpu.io.sinks.lines import LinesToArrow, schema_of
from forge_gpu.io.sinks.shards import Shards
from forge_gpu.io.sinks.unfinished import UnfinishedFile
from forge_gpu.kernels.layout import I64, Text

SUFFIX, INDEX, LENGTHS = ".bin", ".idx", ".lengths"
MAGIC = b"MMIDIDX\0\0"
VERSION, INT32 = 1, 4
HEAD = np.dtype([("magic", "S9"), ("version", "<u8"), ("type", "u1"), ("rows", "<u8"), ("ends", "<u8")])
"""Of the index; behind it int32[rows] lengths, int64[rows] bytes where rows begin, int64[ends] documents."""
COLUMN = "input_ids"
BLOCK = 16 * 2**20


class MegatronFiles:
    """The ids grow in one file and the rows' lengths in another, of which the index is made at the end."""

    def __init__(self, folder: Path, stem: str, rows: int, positions: Positions) -> None:
        self.path, self._rows = folder / (stem + SUFFIX), rows
        self._index = folder / (stem + INDEX)
        self._ids = UnfinishedFile(self.path, positions)
        lengths = folder / (stem + LENGTHS + PARTIAL)
        self._lengths = GrowingFile(lengths, positions.get(lengths.name, 0), of=self._index)
        self._to_arrow = LinesToArrow({COLUMN: "ids"})

    def append(self, lines: Text) -> None:
        batch = self._to_arrow.batch(lines.data[lines.offsets[0] : lines.offsets[-1]])
        column = batch[COLUMN]
        self._ids.write(column.values.to_numpy().astype("<i4").tobytes())
        self._lengths.write(np.diff(column.offsets.to_numpy()).astype("<i4").tobytes())

    def begin_sync(self) -> None:
        self._ids.begin_sync()
        self._lengths.begin_sync()

    def sync(self) -> Positions:
        self._ids.sync()
        self._lengths.sync()
        return {file.path.name: file.position() for file in (self._ids, self._lengths)}

    def finish(self) -> list[Written]:
        self.sync()
        lengths = np.frombuffer(self._lengths.content(0, self._lengths.position()), "<i4")
        begins = (np.cumsum(lengths, dtype="<i8") - lengths) * 4
        head = np.array((MAGIC, VERSION, INT32, len(lengths), len(lengths) + 1), HEAD)
        with replacing(self._index) as partial, partial.open("wb") as file:
            for array in (head, lengths, begins, np.arange(len(lengths) + 1, dtype="<i8")):
                file.write(array.tobytes())
        self._lengths.close()
        self._ids.publish()
        return [Written(self.path, self._rows), Written(self._index, 0)]

    def close(self) -> None:
        self._ids.close()
        self._lengths.close()


@dataclass(frozen=True)
class Megatron(FileFormat):
    """See `base.Format`."""

    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        shards = FileFormat.names(self, stem, rows, rows_per_shard)
        return [(name, name.removesuffix(SUFFIX) + INDEX) for (name,) in shards]

    def is_own(self, file: str, stem: str) -> bool:
        ids = file.removesuffix(INDEX) + SUFFIX if file.endswith(INDEX) else file
        return FileFormat.is_own(self, ids, stem)

    def open(self, folder: Path, split: SplitRows, positions: Positions) -> Sink:
        def shard(stem: str, rows: int, positions: Positions) -> Sink:
            return MegatronFiles(folder, stem, rows, positions)

        return Shards(shard, split, positions)

    def room(self, lines: int) -> int:
        return lines

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        if path.name.endswith(INDEX):
            return
        offsets = _offsets(path)
        with path.open("rb") as file:
            for begin in range(0, len(offsets) - 1, batch_rows):
                own = offsets[begin : begin + batch_rows + 1]
                ids = np.frombuffer(file.read(int(own[-1] - own[0]) * 4), "<i4")
                lists = pa.ListArray.from_arrays(
                    pa.array((own - own[0]).astype(np.int32)), pa.array(ids, pa.int32())
                )
                yield pa.record_batch([lists], schema=schema_of(columns))

    def check(
        self,
        path: Path,
        fields: Sequence[Field],
        on_block: OnBlock,
        beside: Executor | None,
    ) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
                on_block(0, len(block))
        if path.name.endswith(INDEX):
            return 0, digest.hexdigest()
        offsets = _offsets(path)
        if offsets[-1] * 4 != size:
            raise ValidationError(f"{path}: has {size} bytes, and its index names {offsets[-1]} ids of 4")
        on_block(len(offsets) - 1, 0)
        return len(offsets) - 1, digest.hexdigest()


def _offsets(path: OutputPath) -> I64:
    """Where the rows of a file of ids begin, by its index: int64[n + 1]. Raises ValidationError."""
    index = path.with_name(path.name.removesuffix(SUFFIX) + INDEX)
    with index.open("rb") as file:
        data = file.read()
    head = np.frombuffer(data[: HEAD.itemsize].ljust(HEAD.itemsize, b"\1"), HEAD)[0]
    rows = int(head["rows"])
    known = data.startswith(MAGIC) and (head["version"], head["type"]) == (VERSION, INT32)
    if not known or len(data) != HEAD.itemsize + 20 * rows + 8:
        raise ValidationError(f"{index}: is no index of Megatron's, or is cut off")
    lengths = np.frombuffer(data, "<i4", rows, HEAD.itemsize)
    begins = np.frombuffer(data, "<i8", rows, HEAD.itemsize + 4 * rows)
    offsets: I64 = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    if not np.array_equal(begins, offsets[:-1] * 4):
        raise ValidationError(f"{index}: rows do not begin where the ones before them end")
    return offsets


FORMAT = Megatron(SUFFIX, (SUFFIX + PARTIAL, LENGTHS + PARTIAL))
