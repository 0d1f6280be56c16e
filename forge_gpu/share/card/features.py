"""The types of a data set's columns, as `datasets` names them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from forge_gpu.errors import ForgeError
from forge_gpu.io.sinks.registry import OF_TOKENS
from forge_gpu.share.prepared import Prepared

SAMPLE = 10 * 2**20
"""Bytes of a file of JSON lines by which `datasets` tells the types of its columns."""


def features_of(prepared: Prepared) -> list[dict[str, Any]] | None:
    """A mapping for each column. None where only whoever reads all rows could name the types: of JSON values
    whose keys or types differ from row to row."""
    schema = _schema(prepared)
    if schema is None:
        return None
    features = [_feature(field.name, field.type) for field in schema]
    return None if any(feature is None for feature in features) else [f for f in features if f is not None]


def _schema(prepared: Prepared) -> pa.Schema | None:
    files = [file for of in prepared.split_files.values() for file in of if file.rows]
    if not files:
        return None
    path = prepared.folder / files[0].file
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        schema: pa.Schema = pq.read_schema(path)
        return schema
    if prepared.config.output.format in OF_TOKENS:
        return None  # its columns are its trainer's
    kinds = prepared.manifest["columns"]
    if kinds and "json" not in kinds.values():
        return pa.schema([pa.field(name, _PLAIN[kind]) for name, kind in kinds.items()])
    return _schema_of_lines(prepared, kinds)


_PLAIN = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "ids": pa.list_(pa.int64()),  # as `datasets` reads numbers of JSON
}


def _schema_of_lines(prepared: Prepared, kinds: dict[str, str]) -> pa.Schema | None:
    """What the first lines hold, where all of them have the same."""
    import pyarrow.json as paj

    from forge_gpu.io.sinks.lines import blocks_of_lines

    split = next(split for split in prepared.splits.values() if split.rows)
    try:
        block = next(blocks_of_lines(split.paths[0], SAMPLE))
        options = paj.ReadOptions(block_size=len(block) + 1)
        table = paj.read_json(pa.BufferReader(block.tobytes()), read_options=options)
    except (pa.ArrowException, ForgeError, OSError, StopIteration):
        return None
    fields = []
    for field in table.schema:
        kind = kinds.get(field.name, "json")
        if kind == "json" and not _is_uniform(table[field.name].combine_chunks()):
            return None
        fields.append(pa.field(field.name, field.type if kind == "json" else _PLAIN[kind]))
    return pa.schema(fields)


def _is_uniform(array: pa.Array) -> bool:
    """Whether each value has all that any has, so that more rows can be taken to be like these."""
    if pa.types.is_null(array.type) or array.null_count:
        return False
    if pa.types.is_list(array.type):
        return _is_uniform(array.flatten())
    if pa.types.is_struct(array.type):
        return all(_is_uniform(array.field(place)) for place in range(array.type.num_fields))
    plain = (pa.types.is_string, pa.types.is_integer, pa.types.is_boolean)
    return any(is_kind(array.type) for is_kind in plain)


def _feature(name: str, kind: pa.DataType) -> dict[str, Any] | None:
    value = _value(kind)
    return None if value is None else {"name": name, **value}


def _value(kind: pa.DataType) -> dict[str, Any] | None:
    """A type as it stands in the YAML of a card."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _value(kind.value_type)
        if inner is None:
            return None
        one = inner.get("dtype") if set(inner) == {"dtype"} else None
        return {"list": one if isinstance(one, str) else inner.get("struct", inner)}
    if pa.types.is_struct(kind):
        fields = [_feature(field.name, field.type) for field in kind]
        return None if None in fields else {"struct": fields}
    name = _NAMES.get(kind)
    return None if name is None else {"dtype": name}


_NAMES = {
    pa.string(): "string",
    pa.large_string(): "large_string",
    pa.bool_(): "bool",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.float64(): "float64",
}
