"""A folder a split, as `Dataset.save_to_disk` of the library datasets leaves it: Arrow streams, and two files
of JSON that name them and their columns."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from forge_gpu.errors import ValidationError
from forge_gpu.io.atomic import make_folder, replacing, write_atomic
from forge_gpu.io.sinks.base import Field, OnBlock, OutputPath, Positions, Sink, Written, shard_stems
from forge_gpu.io.sinks.parquet import LOG
from forge_gpu.io.sinks.token_rows import batch_of, lists_of
from forge_gpu.io.sinks.trainer_parquet import Codec, CodedFile, TrainerParquet

SUFFIX, STATE, INFO = ".arrow", "state.json", "dataset_info.json"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<shard>\d{5,})-of-(?P<shards>\d{5,})")


@dataclass(frozen=True)
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

    def data(self, shard: int) -> str:
        return f"data-{shard:05d}-of-{self.shards:05d}{SUFFIX}"

    def names(self) -> tuple[str, ...]:
        """Of the shard's files; the last one brings those of the folder."""
        own = (self.data(self.shard), *((STATE, INFO) if self.shard + 1 == self.shards else ()))
        return tuple(f"{self.folder}/{name}" for name in own)


class SavedShard(CodedFile):
    """One shard: its rows wait in a log, as those of Parquet do."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        rows: int,
        columns: Mapping[str, str],
        positions: Positions,
        codec: Codec,
    ) -> None:
        super().__init__(folder, stem, rows, columns, positions, codec)
        self._place = Place.of(stem)
        self._paths = [folder / name for name in self._place.names()]

    def finish(self) -> list[Written]:
        for block in self._blocks.rest():
            self._append(block)
        data, *described = self._paths
        make_folder(data.parent)
        with replacing(data) as partial, pa.ipc.new_stream(str(partial), self._schema) as writer:
            for group in self._log.groups():
                writer.write_table(group)
        if described:
            with data.open("rb") as file:
                fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            state, info = described
            write_atomic(state, _json(_state(self._place, fingerprint)))
            write_atomic(info, _json(_info(self._schema)))
        return [Written(path, self._rows if path == data else 0) for path in self._paths]


def _json(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def _state(place: Place, fingerprint: str) -> dict[str, Any]:
    return {
        "_data_files": [{"filename": place.data(shard)} for shard in range(place.shards)],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": place.folder,
    }


def _info(schema: pa.Schema) -> dict[str, Any]:
    return {
        "citation": "",
        "description": "",
        "features": {field.name: _feature(field.type) for field in schema},
        "homepage": "",
        "license": "",
    }


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):  # the name that datasets before 4 know as well
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    return {"dtype": str(kind), "_type": "Value"}


@dataclass(frozen=True)
class SavedFolder(TrainerParquet):
    """See `base.Format`."""

    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        return [Place.of(shard).names() for shard in shard_stems(stem, rows, rows_per_shard)]

    def is_own(self, file: str, stem: str) -> bool:
        own = rf"{re.escape(stem)}/(data-\d{{5,}}-of-\d{{5,}}\{SUFFIX}|{STATE}|{INFO})"
        return re.fullmatch(own, file) is not None

    def shard(
        self, folder: Path, stem: str, rows: int, columns: Mapping[str, str], positions: Positions
    ) -> Sink:
        return SavedShard(folder, stem, rows, columns, positions, self._codec)

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        if not path.name.endswith(SUFFIX):
            return
        with path.open("rb") as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                for begin in range(0, len(batch), batch_rows):
                    some = batch.slice(begin, batch_rows)
                    lists = {name: lists_of(some[name]) for name in self._codec.lists}
                    yield batch_of(self._codec.decode(lists), columns)

    def check(
        self, path: Path, fields: Sequence[Field], on_block: OnBlock, beside: Executor | None
    ) -> tuple[int, str]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        on_block(0, path.stat().st_size)
        if not path.name.endswith(SUFFIX):
            return 0, digest
        rows = 0
        try:
            with path.open("rb") as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    batch.validate(full=True)
                    if any(batch[name].null_count for name in self._codec.lists):
                        raise ValidationError(f"{path}: rows from {rows} on lack a column")
                    rows += len(batch)
                    on_block(len(batch), 0)
        except pa.ArrowException as fault:
            raise ValidationError(f"{path}: cannot be read: {fault}") from None
        return rows, digest


def saved_folder(codec: Codec) -> SavedFolder:
    """The format of a trainer."""
    return SavedFolder(SUFFIX, (LOG,), takes_lists=True, codec=codec)
