"""Conversations as verl's SFT dataset reads them: Parquet in which messages are a list of structs.

A struct has the same fields in every message, so these have a role and a content and nothing else: what some
messages lack would be null in them, and a template may write that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as paj

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.growing import Write
from forge_gpu.io.sinks.base import OutputPath, Sink
from forge_gpu.io.sinks.lines import schema_of
from forge_gpu.io.sinks.parquet import LOG, SUFFIX, Parquet, ParquetFile
from forge_gpu.io.sinks.shards import ShardRows
from forge_gpu.plain import frozen

MESSAGES = "messages"
_NESTED = pa.field(MESSAGES, pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))
_BEFORE, _BEHIND = f'{{"{MESSAGES}":', "}\n"


class VerlFile(ParquetFile):
    """See `ParquetFile`."""

    def __init__(self, shard: ShardRows) -> None:
        schema = schema_of(shard.columns)
        super().__init__(shard, schema.set(schema.get_field_index(MESSAGES), _NESTED))

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        columns = [
            _nested(column, self.path) if name == MESSAGES else column
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
        ]
        return super().place_columns(pa.record_batch(columns, schema=self._schema))


def _nested(texts: pa.Array, path: OutputPath) -> pa.Array:
    """Lists of messages of their JSON. Raises OutputError for one with other keys or contents."""
    before, behind, nothing = (pa.scalar(text, texts.type) for text in (_BEFORE, _BEHIND, ""))
    lines = text_bytes(pc.binary_join_element_wise(before, texts, behind, nothing))
    if not len(lines):
        return pa.array([], _NESTED.type)
    try:
        table = paj.read_json(
            pa.BufferReader(lines),
            paj.ReadOptions(use_threads=False, block_size=len(lines)),
            paj.ParseOptions(explicit_schema=pa.schema([_NESTED]), unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid as fault:
        raise OutputError(
            f"{path}: verl's format holds messages of a role and a text alone: set output.format to jsonl, "
            f"or output.form to tokens ({str(fault).splitlines()[0]})"
        ) from None
    return table[MESSAGES].combine_chunks()


def text_bytes(texts: pa.LargeStringArray) -> pa.Buffer:
    """The bytes of texts, one behind the other, where none of them is null."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return data.slice(int(bounds[0]), int(bounds[-1] - bounds[0])) if data is not None else pa.py_buffer(b"")


@frozen
class Verl(Parquet):
    """See `base.Format`."""

    def shard(self, shard: ShardRows) -> Sink:
        return VerlFile(shard)

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        schema = schema_of(columns)
        at = schema.get_field_index(MESSAGES)
        for batch in Parquet.batches(self, path, columns, batch_rows):
            texts = [orjson.dumps(messages).decode() for messages in batch[MESSAGES].to_pylist()]
            arrays = [*batch.columns]
            arrays[at] = pa.array(texts, schema.field(at).type)
            yield pa.record_batch(arrays, schema=schema)


FORMAT = Verl(SUFFIX, (SUFFIX + PARTIAL, LOG), takes_columns=True)
