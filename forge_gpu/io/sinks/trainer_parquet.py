"""Parquet with the columns of a trainer. The format of each trainer is a codec, in a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY
from pathlib import Path

import numpy as np
import pyarrow as pa

from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import Field, OnBlock, OutputPath, Sink
from forge_gpu.io.sinks.parquet import LOG, SUFFIX, Parquet, ParquetFile
from forge_gpu.io.sinks.shards import ShardRows
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, arrow_of, batch_of, lists_of, rows_of
from forge_gpu.kernels.layout import Spans
from forge_gpu.plain import frozen


@frozen
class Codec:
    """types: of the numbers in each column's lists; null for a column that is empty. encode: rows as those
    columns; decode: the other way."""

    types: Mapping[str, pa.DataType]
    encode: Callable[[TokenRows], Mapping[str, Lists]]
    decode: Callable[[Mapping[str, Lists]], TokenRows]

    @property
    def schema(self) -> pa.Schema:
        kinds = {name: pa.list_(self.types[name]) for name in self.lists}
        return pa.schema([pa.field(name, kinds.get(name, pa.null())) for name in self.types])

    @property
    def lists(self) -> list[str]:
        """The columns that are not empty."""
        return [name for name, kind in self.types.items() if kind != pa.null()]

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the form `tokens` as the trainer has them."""
        lists = self.encode(rows_of(batch))
        nothing = pa.nulls(len(batch))
        arrays = [arrow_of(lists[name]) if name in lists else nothing for name in self.types]
        return pa.record_batch(arrays, schema=self.schema)


@frozen
class OwnField:
    """A column of the trainer, which every row has."""

    name: str
    may_be_null: bool = False

    def is_sound(self, column: Spans) -> np.ndarray:
        return np.ones(len(column), np.bool_)


class CodedFile(ParquetFile):
    """See `ParquetFile`."""

    def __init__(self, shard: ShardRows, codec: Codec) -> None:
        super().__init__(shard, codec.schema)
        self._codec = codec

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        return ParquetFile.place_columns(self, self._codec.batch(rows))


@frozen
class TrainerParquet(Parquet):
    """See `base.Format`."""

    _: KW_ONLY
    codec: Codec

    def shard(self, shard: ShardRows) -> Sink:
        return CodedFile(shard, self.codec)

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        for batch in Parquet.batches(self, path, columns, batch_rows):
            lists = {name: lists_of(batch[name]) for name in batch.schema.names}
            yield batch_of(self.codec.decode(lists), columns)

    def check(
        self, path: Path, fields: Sequence[Field], on_block: OnBlock, beside: Executor | None
    ) -> tuple[int, str]:
        own = [OwnField(name) for name in self.codec.types]
        return Parquet.check(self, path, own, on_block, beside)


def trainer_parquet(codec: Codec) -> TrainerParquet:
    """The format of a trainer."""
    return TrainerParquet(SUFFIX, (SUFFIX + PARTIAL, LOG), takes_columns=True, codec=codec)
