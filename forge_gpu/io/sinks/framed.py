"""A folder a split of shards in which each line is an item of its own: how many there are, where each begins,
the items; and `index.json`, which names the shards. MDS and LitData differ in what they write around that.

An item is the bytes of each column, as u32, and then the columns. Its place is a u32 as well, so a shard has
less than 4 GiB.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from forge_gpu.errors import OutputError, ValidationError
from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import OnBlock, OutputPath, Sink
from forge_gpu.io.sinks.folder import FolderFormat, FolderShard, Place
from forge_gpu.io.sinks.parquet import LOG
from forge_gpu.io.sinks.shards import ShardRows
from forge_gpu.io.sinks.token_columns import IDS, LABELS, LENGTHS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, lists_of
from forge_gpu.io.sinks.trainer_parquet import Codec
from forge_gpu.kernels.cpu.token_rows import gather
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.plain import frozen

INDEX = "index.json"
COLUMNS = (IDS, LABELS, LENGTHS)
SIZES = 4 * len(COLUMNS)
"""Bytes of an item before its columns."""
MOST = 2**32 - 1
_MOST_HEAD = 4 + SIZES + 7 * len(COLUMNS)
"""Bytes that an item has at most beside its numbers: its place, and what its columns are preceded by."""


@frozen
class Shard:
    """name: its file. bytes, rows: what it has."""

    name: str
    bytes: int
    rows: int


@frozen
class Framing:
    """suffix: of a shard. name: of a shard by its number. head: what stands before the items. before: the
    bytes before so many numbers of a column; numbers: of a column's bytes, those that are its numbers.
    index: what `index.json` holds, by the shards and a digest of them."""

    suffix: str
    name: Callable[[int], str]
    index: Callable[[Sequence[Shard], str], Mapping[str, Any]]
    head: bytes = b""
    before: Callable[[int], bytes] = lambda count: b""
    numbers: Callable[[memoryview], memoryview] = lambda column: column

    def begin(self, rows: int) -> int:
        """Where the items of a shard begin."""
        return 4 * (rows + 2) + len(self.head)


class FramedShard(FolderShard):
    """How many items there are, where each begins, and the items."""

    def __init__(self, shard: ShardRows, names: Sequence[str], framing: Framing) -> None:
        super().__init__(shard, CODEC, names)
        self._framing = framing
        self._most = framing.begin(0) + shard.positions.get(shard.stem + LOG, 0)

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        numbers = sum(len(rows[name].flatten()) for name in rows.schema.names)
        self._most += 4 * numbers + _MOST_HEAD * len(rows)
        self._require_room(self._most)
        return super().place_columns(rows)

    def _require_room(self, size: int) -> None:
        if size > MOST:
            raise OutputError(
                f"{self._paths[0]}: a shard of this format has less than 4 GiB, and its rows need more: set "
                "output.rows_per_shard"
            )

    def _write(self, path: Path) -> None:
        ends = [np.array([self._framing.begin(self._rows)], np.int64)]
        with path.open("r+b") as file:
            file.seek(int(ends[0][0]))
            for group in self._log.groups():
                for batch in group.to_batches():
                    items, sizes = _items(batch, self._framing)
                    file.write(items.data)
                    ends.append(ends[-1][-1] + np.cumsum(sizes, dtype=np.int64))
            at = np.concatenate(ends)
            self._require_room(int(at[-1]))
            file.seek(0)
            file.write(np.uint32(self._rows).tobytes() + at.astype("<u4").tobytes() + self._framing.head)

    def _documents(self, data: Path) -> Sequence[Mapping[str, Any]]:
        shards, digest = [], hashlib.sha256()
        for number in range(self._place.shards):
            name = self._framing.name(number)
            with data.with_name(name).open("rb") as file:
                rows = int(np.frombuffer(file.read(4), "<u4")[0])
                file.seek(0)
                digest.update(hashlib.file_digest(file, "sha256").digest())
                shards.append(Shard(name, file.tell(), rows))
        return (self._framing.index(shards, digest.hexdigest()),)


def _items(batch: pa.RecordBatch, framing: Framing) -> tuple[U8, I64]:
    """(the bytes of lines one behind the other; how many each line has: int64[n])."""
    lists = [lists_of(batch[name]) for name in COLUMNS]
    counts = [np.diff(at) for _, at in lists]
    heads = [_Heads.of(own, framing) for own in counts]
    columns = [own.length + 4 * count for own, count in zip(heads, counts, strict=True)]
    told = np.stack(columns, 1).astype("<u4")
    # What lines are pieced together from: their sizes, and of each column the heads and the numbers.
    sources, starts = [told.reshape(-1).view(np.uint8)], [SIZES * np.arange(len(told))]
    sizes: list[I64 | int] = [SIZES]
    for own, count, (values, at) in zip(heads, counts, lists, strict=True):
        for source, start, size in (
            (own.data, own.start, own.length),
            (values.astype("<i4").view(np.uint8), 4 * at[:-1], 4 * count),
        ):
            starts.append(start + sum(map(len, sources)))
            sizes.append(size)
            sources.append(source)
    pieces = np.stack([np.broadcast_to(size, len(told)) for size in sizes], 1)
    offsets = np.concatenate(([0], np.cumsum(pieces, dtype=np.int64)))
    return gather(np.concatenate(sources), np.stack(starts, 1).reshape(-1), offsets), pieces.sum(1)


@frozen
class _Heads:
    """What stands before the numbers of a column of each line. data: uint8[b], that of each count once;
    start, length: int64[n], where a line's stands in it."""

    data: U8
    start: I64
    length: I64

    @classmethod
    def of(cls, counts: I64, framing: Framing) -> _Heads:
        different, which = np.unique(counts, return_inverse=True)
        heads = [framing.before(count) for count in different.tolist()]
        length = np.array([len(head) for head in heads], np.int64)
        data = np.frombuffer(b"".join(heads), np.uint8)
        return cls(data, (np.cumsum(length) - length)[which], length[which])


@frozen
class FramedFolder(FolderFormat):
    """See `base.Format`."""

    _: KW_ONLY
    framing: Framing

    def place_names(self, place: Place) -> tuple[str, ...]:
        return place.names(self.framing.name(place.shard), (INDEX,))

    def is_own(self, file: str, stem: str) -> bool:
        folder, _, name = file.partition("/")
        number = re.search(r"\d+(?=\D*$)", name)
        is_shard = number is not None and name == self.framing.name(int(number[0]))
        return folder == stem and (is_shard or name == INDEX)

    def shard(self, shard: ShardRows) -> Sink:
        return FramedShard(shard, self.place_names(Place.of(shard.stem)), self.framing)

    def rows_in(self, data: OutputPath, most: int) -> Iterator[TokenRows]:
        with data.open("rb") as file:
            rows = int(np.frombuffer(file.read(4), "<u4")[0])
            at = np.frombuffer(file.read(4 * (rows + 1)), "<u4").astype(np.int64)
            file.seek(self.framing.begin(rows))
            for begin in range(0, rows, most):
                own = at[begin : begin + most + 1]
                items = memoryview(file.read(int(own[-1] - own[0])))
                yield _rows_of(items, own - own[0], self.framing)

    def sound_rows(self, data: Path, on_block: OnBlock) -> int:
        rows = _sound_rows(data, self.framing)
        on_block(rows, 0)
        return rows


def _rows_of(items: memoryview, at: I64, framing: Framing) -> TokenRows:
    lists = []
    sizes = np.frombuffer(items, np.uint8)[at[:-1, None] + np.arange(SIZES)].view("<u4")
    ends = SIZES + sizes.cumsum(1, dtype=np.int64)
    begins = np.concatenate([np.full((len(ends), 1), SIZES), ends[:, :-1]], 1)
    for column in range(len(COLUMNS)):
        bounds = zip(
            (at[:-1] + begins[:, column]).tolist(), (at[:-1] + ends[:, column]).tolist(), strict=True
        )
        numbers = [framing.numbers(items[begin:end]) for begin, end in bounds]
        counts = [len(own) // 4 for own in numbers]
        values = np.frombuffer(b"".join(numbers), "<i4").astype(np.int32)
        lists.append((values, np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))))
    (ids, of_lines), (labels, _), lengths = lists
    return TokenRows(ids, labels, of_lines, lengths)


def _sound_rows(path: Path, framing: Framing) -> int:
    """How many lines a shard has. Raises ValidationError where it does not hold what its head says."""
    content = (
        np.memmap(path, np.uint8, "r").view(np.ndarray) if path.stat().st_size else np.zeros(0, np.uint8)
    )
    rows = int(content[:4].view("<u4")[0]) if len(content) >= 4 else 0
    begin = framing.begin(rows)
    if len(content) < begin:
        raise ValidationError(f"{path}: is cut off in its head")
    at = content[4 : 4 * (rows + 2)].view("<u4").astype(np.int64)
    if at[0] != begin or at[-1] != len(content) or (np.diff(at) < SIZES).any():
        raise ValidationError(f"{path}: its lines do not follow each other to its end")
    sizes = content[at[:-1, None] + np.arange(SIZES)].view("<u4").astype(np.int64).sum(1)
    if not np.array_equal(sizes + SIZES, np.diff(at)):
        raise ValidationError(f"{path}: the columns of a line have other sizes than the line")
    return rows


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    return {IDS: (rows.ids, rows.at), LABELS: (rows.labels, rows.at), LENGTHS: rows.lengths}


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    (ids, at), (labels, _) = lists[IDS], lists[LABELS]
    return TokenRows(ids, labels, at, lists[LENGTHS])


CODEC = Codec(dict.fromkeys(COLUMNS, pa.int32()), _encode, _decode)


def framed(framing: Framing) -> FramedFolder:
    """The format of a library that streams."""
    return FramedFolder(framing.suffix, (LOG,), takes_columns=True, codec=CODEC, framing=framing)
