"""A folder a split, as `Dataset.save_to_disk` of the library datasets leaves it: Arrow streams, and two files
of JSON that name them and their columns."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from forge_gpu.errors import ValidationError
from forge_gpu.io.sinks.base import OnBlock, OutputPath, Sink
from forge_gpu.io.sinks.folder import FolderFormat, FolderShard, Place
from forge_gpu.io.sinks.parquet import LOG
from forge_gpu.io.sinks.shards import ShardRows
from forge_gpu.io.sinks.token_rows import TokenRows, lists_of
from forge_gpu.io.sinks.trainer_parquet import Codec
from forge_gpu.plain import frozen

SUFFIX, STATE, INFO = ".arrow", "state.json", "dataset_info.json"


class SavedShard(FolderShard):
    """An Arrow stream."""

    def _write(self, path: Path) -> None:
        with pa.ipc.new_stream(str(path), self._schema) as writer:
            for group in self._log.groups():
                writer.write_table(group)

    def _documents(self, data: Path) -> Sequence[Mapping[str, Any]]:
        with data.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return _state(self._place, fingerprint), _info(self._schema)


def _data(shard: int, shards: int) -> str:
    return f"data-{shard:05d}-of-{shards:05d}{SUFFIX}"


def _state(place: Place, fingerprint: str) -> dict[str, Any]:
    return {
        "_data_files": [{"filename": _data(shard, place.shards)} for shard in range(place.shards)],
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


@frozen
class SavedFolder(FolderFormat):
    """See `base.Format`."""

    def place_names(self, place: Place) -> tuple[str, ...]:
        return place.names(_data(place.shard, place.shards), (STATE, INFO))

    def is_own(self, file: str, stem: str) -> bool:
        own = rf"{re.escape(stem)}/(data-\d{{5,}}-of-\d{{5,}}\{SUFFIX}|{STATE}|{INFO})"
        return re.fullmatch(own, file) is not None

    def shard(self, shard: ShardRows) -> Sink:
        return SavedShard(shard, self.codec, self.place_names(Place.of(shard.stem)))

    def rows_in(self, data: OutputPath, most: int) -> Iterator[TokenRows]:
        with data.open("rb") as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                for begin in range(0, len(batch), most):
                    some = batch.slice(begin, most)
                    yield self.codec.decode({name: lists_of(some[name]) for name in self.codec.lists})

    def sound_rows(self, data: Path, on_block: OnBlock) -> int:
        rows = 0
        try:
            with data.open("rb") as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    batch.validate(full=True)
                    if any(batch[name].null_count for name in self.codec.lists):
                        raise ValidationError(f"{data}: rows from {rows} on lack a column")
                    rows += len(batch)
                    on_block(len(batch), 0)
        except pa.ArrowException as fault:
            raise ValidationError(f"{data}: cannot be read: {fault}") from None
        return rows


def saved_folder(codec: Codec) -> SavedFolder:
    """The format of a trainer."""
    return SavedFolder(SUFFIX, (LOG,), takes_columns=True, codec=codec)
