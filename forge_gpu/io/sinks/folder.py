"""A folder a split: its shards, and small files that name them, which the last shard brings.

The rows of a shard wait in a log, as those of Parquet do.
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from forge_gpu.io.atomic import make_folder, replacing, require_no_link, write_atomic
from forge_gpu.io.sinks.base import Field, OnBlock, OutputPath, Written, shard_stems
from forge_gpu.io.sinks.shards import ShardRows
from forge_gpu.io.sinks.token_rows import TokenRows, batch_of
from forge_gpu.io.sinks.trainer_parquet import Codec, CodedFile, TrainerParquet
from forge_gpu.plain import frozen

_SHARD = re.compile(r"(?P<stem>.+)-(?P<shard>\d{5,})-of-(?P<shards>\d{5,})")


@frozen
class Place:
    """Where a shard lies: its split's folder, its number and how many there are."""

    folder: str
    shard: int
    shards: int

    @classmethod
    def of(cls, stem: str) -> Place:
        parts = _SHARD.fullmatch(stem)
        if parts is None:
            return cls(stem, 0, 1)
        return cls(parts["stem"], int(parts["shard"]), int(parts["shards"]))

    def names(self, data: str, beside: Sequence[str]) -> tuple[str, ...]:
        """Of the shard's files: its data, and behind those of the last shard the small ones."""
        own = (data, *(beside if self.shard + 1 == self.shards else ()))
        return tuple(f"{self.folder}/{name}" for name in own)


class FolderShard(CodedFile):
    """One shard. names: of its files."""

    def __init__(self, shard: ShardRows, codec: Codec, names: Sequence[str]) -> None:
        super().__init__(shard, codec)
        self._place = Place.of(shard.stem)
        require_no_link(shard.folder / self._place.folder)
        self._paths = [shard.folder / name for name in names]

    def finish(self) -> list[Written]:
        for block in self._blocks.rest():
            self._append(block)
        data, *beside = self._paths
        make_folder(data.parent)
        with replacing(data) as partial:
            self._write(partial)
        documents = self._documents(data) if beside else []
        for path, document in zip(beside, documents, strict=True):
            write_atomic(path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return [Written(path, self._rows if path == data else 0) for path in self._paths]

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write the data, whose rows are in the log, into a new file."""

    @abstractmethod
    def _documents(self, data: Path) -> Sequence[Mapping[str, Any]]:
        """What stands in the small files of the split. data: the last shard's."""


@frozen
class FolderFormat(TrainerParquet):
    """See `base.Format`. suffix: of a shard's data."""

    @abstractmethod
    def place_names(self, place: Place) -> tuple[str, ...]:
        """Of the files of a shard."""

    @abstractmethod
    def rows_in(self, data: OutputPath, most: int) -> Iterator[TokenRows]:
        """The rows of a shard, so many at once."""

    @abstractmethod
    def sound_rows(self, data: Path, on_block: OnBlock) -> int:
        """How many rows a shard has. Raises ValidationError where it is not what was written."""

    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        return [self.place_names(Place.of(shard)) for shard in shard_stems(stem, rows, rows_per_shard)]

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        if path.name.endswith(self.suffix):
            for rows in self.rows_in(path, batch_rows):
                yield batch_of(rows, columns)

    def check(
        self, path: Path, fields: Sequence[Field], on_block: OnBlock, beside: Executor | None
    ) -> tuple[int, str]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        on_block(0, path.stat().st_size)
        return self.sound_rows(path, on_block) if path.name.endswith(self.suffix) else 0, digest
