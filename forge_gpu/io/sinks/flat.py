"""Tokens as numbers of four bytes one behind the other in a file, and small files beside it for the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY
from pathlib import Path

import numpy as np
import pyarrow as pa

from forge_gpu.errors import ValidationError
from forge_gpu.io.atomic import PARTIAL, replacing
from forge_gpu.io.growing import GrowingFile, Write
from forge_gpu.io.sinks.base import (
    Field,
    FileFormat,
    OnBlock,
    OutputPath,
    Positions,
    Sink,
    Written,
    is_written,
)
from forge_gpu.io.sinks.lines import LinesToArrow
from forge_gpu.io.sinks.shards import ShardedFormat, ShardRows
from forge_gpu.io.sinks.token_rows import TokenRows, batch_of, labels_where, one_row_a_line, rows_of
from forge_gpu.io.sinks.unfinished import UnfinishedFile
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.plain import frozen

LENGTHS = ".lengths"
BLOCK = 16 * 2**20


@frozen
class Layout:
    """suffix: of the file of ids. index: of the file that is made of the rows' lengths at the end, int64[n],
    and what it holds; lengths: what they are by the content of the two files. mask: of a file of a byte a
    token, 1 where it is trained; None where all are. head: what stands before the ids, always as many bytes,
    of so many tokens."""

    suffix: str
    index: str
    content: Callable[[I64], bytes]
    lengths: Callable[[bytes, int], I64]
    mask: str | None = None
    head: Callable[[int], bytes] = lambda tokens: b""

    @property
    def suffixes(self) -> tuple[str, ...]:
        return self.suffix, self.index, *([self.mask] if self.mask else [])


class FlatFiles:
    """Ids, what is trained and the rows' lengths grow in files of their own; the index is made at the end."""

    def __init__(self, layout: Layout, shard: ShardRows) -> None:
        folder, stem, positions = shard.folder, shard.stem, shard.positions
        self.path, self._rows, self._layout = folder / (stem + layout.suffix), shard.rows, layout
        self._index = folder / (stem + layout.index)
        self._ids = UnfinishedFile(self.path, positions)
        if not self._ids.position():
            self._ids.write(layout.head(0))
        self._grown = [self._ids]
        if layout.mask is not None:
            self._mask = UnfinishedFile(folder / (stem + layout.mask), positions)
            self._grown.append(self._mask)
        lengths = folder / (stem + LENGTHS + PARTIAL)
        self._lengths = GrowingFile(lengths, positions.get(lengths.name, 0), of=self._index)
        self._to_arrow = LinesToArrow(shard.columns)

    def append(self, lines: Text) -> None:
        self._append(self._to_arrow.batch(lines.data[lines.offsets[0] : lines.offsets[-1]]))

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        self._append(rows)
        return is_written

    def _append(self, batch: pa.RecordBatch) -> None:
        rows = rows_of(batch)
        self._ids.write(rows.ids.astype("<i4").tobytes())
        if self._layout.mask is not None:
            self._mask.write(rows.trained.tobytes())
        self._lengths.write(np.diff(rows.at).astype("<i4").tobytes())

    def begin_sync(self) -> None:
        for file in (*self._grown, self._lengths):
            file.begin_sync()

    def sync(self) -> Positions:
        files = (*self._grown, self._lengths)
        for file in files:
            file.sync()
        return {file.path.name: file.position() for file in files}

    def finish(self) -> list[Written]:
        self.sync()
        content = self._lengths.content(0, self._lengths.position())
        lengths = np.frombuffer(content, "<i4").astype(np.int64)
        with replacing(self._index) as partial:
            partial.write_bytes(self._layout.content(lengths))
        self._lengths.close()
        self._ids.overwrite(0, self._layout.head(int(lengths.sum())))
        self._ids.sync()
        for grown in self._grown:
            grown.publish()
        paths = [
            self.path.with_name(self.path.name.removesuffix(self._layout.suffix) + suffix)
            for suffix in self._layout.suffixes
        ]
        return [Written(path, self._rows if path == self.path else 0) for path in paths]

    def close(self) -> None:
        for file in (*self._grown, self._lengths):
            file.close()


@frozen
class Flat(ShardedFormat):
    """See `base.Format`."""

    _: KW_ONLY
    layout: Layout

    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        shards = FileFormat.names(self, stem, rows, rows_per_shard)
        stems = [name.removesuffix(self.suffix) for (name,) in shards]
        return [tuple(stem + suffix for suffix in self.layout.suffixes) for stem in stems]

    def is_own(self, file: str, stem: str) -> bool:
        suffixes = (suffix for suffix in self.layout.suffixes if file.endswith(suffix))
        return any(FileFormat.is_own(self, file.removesuffix(own) + self.suffix, stem) for own in suffixes)

    def shard(self, shard: ShardRows) -> Sink:
        return FlatFiles(self.layout, shard)

    def room(self, lines: int) -> int:
        return lines

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        if not path.name.endswith(self.suffix):
            return
        at, mask = self._at(path), self.layout.mask
        with path.open("rb") as file, self._beside(path, mask or self.suffix).open("rb") as trained:
            file.read(len(self.layout.head(0)))
            for begin in range(0, len(at) - 1, batch_rows):
                own = at[begin : begin + batch_rows + 1]
                tokens = int(own[-1] - own[0])
                ids = np.frombuffer(file.read(tokens * 4), "<i4").astype(np.int32)
                labels = ids
                if mask is not None:
                    labels = labels_where(ids, np.frombuffer(trained.read(tokens), np.uint8))
                own = own - own[0]
                yield batch_of(TokenRows(ids, labels, own, one_row_a_line(own)), columns)

    def check(
        self, path: Path, fields: Sequence[Field], on_block: OnBlock, beside: Executor | None
    ) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
                on_block(0, len(block))
        if not path.name.endswith(self.suffix):
            return 0, digest.hexdigest()
        at, head = self._at(path), self.layout.head(0)
        with path.open("rb") as file:
            if file.read(len(head)) != self.layout.head(int(at[-1])):
                raise ValidationError(f"{path}: its head does not fit its index")
        if len(head) + int(at[-1]) * 4 != size:
            raise ValidationError(f"{path}: has {size} bytes, and its index names {at[-1]} ids of 4")
        mask = self.layout.mask
        if mask is not None and _size(self._beside(path, mask)) != at[-1]:
            raise ValidationError(f"{self._beside(path, mask)}: has not a byte for each of {at[-1]} tokens")
        on_block(len(at) - 1, 0)
        return len(at) - 1, digest.hexdigest()

    def _beside(self, path: OutputPath, suffix: str) -> OutputPath:
        return path.with_name(path.name.removesuffix(self.suffix) + suffix)

    def _at(self, path: OutputPath) -> I64:
        """Where the rows of a file of ids begin, by its index: int64[n + 1]. Raises ValidationError."""
        index = self._beside(path, self.layout.index)
        with index.open("rb") as file:
            content = file.read()
        head = len(self.layout.head(0))
        tokens = (_size(path) - head) // 4
        try:
            lengths = self.layout.lengths(content, tokens)
        except (ValueError, OSError, EOFError) as fault:
            raise ValidationError(f"{index}: {fault}") from None
        at: I64 = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return at


def _size(path: OutputPath) -> int:
    with path.open("rb") as file:
        return int(file.seek(0, 2))


def flat(layout: Layout) -> Flat:
    """The format of a layout."""
    grown = (layout.suffix, LENGTHS, *([layout.mask] if layout.mask else []))
    return Flat(layout.suffix, tuple(suffix + PARTIAL for suffix in grown), takes_columns=True, layout=layout)
