"""Row groups of a Parquet file: decoded on the host, and told of to an engine that decodes them elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forge_gpu.errors import InputError
from forge_gpu.io.checked import FAULTS, check, is_list, is_text
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.faults import one_line, persist
from forge_gpu.io.inputs import InputFile
from forge_gpu.kernels.layout import U8
from forge_gpu.plain import frozen

BATCH_ROWS = 1 << 13
"""Rows that are decoded at once where only their bytes are wanted."""


@frozen
class RowGroups:
    """Some row groups of a file. See `engine.base.RowGroups`, which this is to an engine.

    content: the file's path, or its bytes. metadata: its footer. groups: their numbers, in order. columns:
    those of text (see `text_columns`) that are wanted of them. source: the file, held open.
    """

    file: InputFile
    content: Path | bytes
    metadata: Any
    groups: tuple[int, ...]
    columns: tuple[str, ...] = ()
    source: Any = None

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """What the footer says each group has."""
        return tuple(self.metadata.row_group(group).num_rows for group in self.groups)

    @cached_property
    def codecs(self) -> frozenset[str]:
        """The compressions of the wanted columns."""
        schema = self.metadata.schema
        places = [i for i in range(len(schema)) if schema.column(i).path in self.columns]
        groups = [self.metadata.row_group(group) for group in self.groups]
        return frozenset(group.column(i).compression for group in groups for i in places)

    def heaviest(self, columns: Sequence[str] | None) -> int:
        """Bytes that a row of the first group takes at most, about, by the longest texts of its dictionaries:
        a dictionary of 1 MB gives as many bytes as it is named times, which no size in the footer tells."""
        import pyarrow.parquet as pq

        group, schema = self.metadata.row_group(self.groups[0]), self.metadata.schema
        total, asked = 0, None if columns is None else frozenset(columns)
        for place in range(group.num_columns):
            column = group.column(place)
            path = column.path_in_schema
            if asked is not None and asked.isdisjoint((path, path.split(".")[0])):
                continue
            of_a_row = -(-column.num_values // max(group.num_rows, 1))
            if "DELTA_BYTE_ARRAY" in column.encodings:  # each value may be the one before, and a byte more
                total += of_a_row * min(column.total_uncompressed_size, _DELTA_BYTES)
            elif column.has_dictionary_page and schema.column(place).physical_type == "BYTE_ARRAY":
                source = readable(self.content) if self.source is None else self.source
                with pq.ParquetFile(
                    source,
                    metadata=self.metadata,
                    read_dictionary=[path],
                    buffer_size=2**20,
                    pre_buffer=False,
                ) as file:
                    first = file.iter_batches(
                        1, row_groups=self.groups[:1], columns=[path], use_threads=False
                    )
                    total += of_a_row * max(map(_longest, next(first, ())), default=0)
        return total

    def part(self, chosen: slice) -> RowGroups:
        """Some consecutive ones of the groups."""
        return replace(self, groups=self.groups[chosen])

    def batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """Rows of the groups, `rows` at a time, decoded on the host; all columns if None. Raises pyarrow's
        errors and OSError."""
        import pyarrow.parquet as pq  # other tables do without

        source = readable(self.content) if self.source is None else self.source
        reader = pq.ParquetFile(source, metadata=self.metadata, buffer_size=2**20, pre_buffer=False)
        with reader:
            for batch in reader.iter_batches(
                rows, row_groups=self.groups, columns=columns, use_threads=False
            ):
                check(batch)
                yield batch

    def text_bytes(self, column: str) -> U8:
        """All texts of a column, one after the other, decoded on the host; faults that pass are waited for.
        Raises InputError."""
        return persist(lambda: self._text_bytes(column), self.file.path)

    def _text_bytes(self, column: str) -> U8:
        pieces: list[U8] = []
        rows = 0
        try:
            for batch in self.batches(BATCH_ROWS, [column]):
                spans = arrow_spans(batch.column(0)).part(slice(None))
                pieces.append(spans.data.copy())
                rows += len(batch)
        except FAULTS as fault:
            raise damaged(self.file, rows, fault) from fault
        if rows != sum(self.rows):
            raise changed(self.file, rows)
        return np.concatenate([np.zeros(0, np.uint8), *pieces])


_DELTA_BYTES = 2**16
"""What a value is taken to be at most that is told by how it differs from the one before."""


def _longest(array: Any) -> int:
    """The longest text in the dictionaries of an array."""
    if isinstance(array, pa.ExtensionArray):
        return _longest(array.storage)
    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary) if is_text(array.type.value_type) else pa.array([0])
        return int(pc.max(lengths).as_py() or 0)
    if pa.types.is_map(array.type):
        return max(_longest(array.keys), _longest(array.items))
    if pa.types.is_struct(array.type):
        return max((_longest(array.field(i)) for i in range(array.type.num_fields)), default=0)
    return _longest(array.values) if is_list(array.type) else 0


def text_columns(metadata: Any) -> frozenset[str]:
    """The columns of a file that any reader of Parquet takes for text: strings in the file's own schema and
    in that of Arrow, whose names are no paths into a nested column."""
    kinds = {field.name: field.type for field in metadata.schema.to_arrow_schema()}
    result = set()
    for i in range(len(metadata.schema)):
        column = metadata.schema.column(i)
        kind = kinds.get(column.path)
        texts = kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
        if texts and column.logical_type.type == "STRING" and column.physical_type == "BYTE_ARRAY":
            result.add(column.path)
    return frozenset(name for name in result if "." not in name)


def damaged(file: InputFile, row: int, fault: Exception) -> InputError:
    """The fault of a table that cannot be read on after `row` rows of a range."""
    return InputError(
        f"{file.path}: damaged after row {row}: {one_line(fault)}; write the file again, or keep "
        "what is whole with data.on_corrupt: keep_prefix"
    )


def changed(file: InputFile, row: int) -> InputError:
    """The fault of a table that has other rows than it had when it was opened."""
    return InputError(f"{file.path}: changed while it was read: row {row} is missing")


def readable(content: Path | bytes) -> Any:
    """What pyarrow reads a file from."""
    return pa.BufferReader(content) if isinstance(content, bytes) else content
