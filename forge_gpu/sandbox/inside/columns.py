"""A batch as bytes between Forge and the process: texts, numbers and booleans, and nothing else of Arrow.

A head says what lies behind it: its length as uint32, then JSON: rows, and of each column name, kind and the
bytes of its buffers, which follow: validity, a bit a row, or nothing; of texts the offsets as int32; the
values. Arrow's own stream is not taken from a stranger: it may be compressed, nested and coded at will.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TEXT, JSON, INT, FLOAT, BOOL = "text", "json", "int", "float", "bool"
TYPES = {TEXT: pa.string(), JSON: pa.json_(), INT: pa.int64(), FLOAT: pa.float64(), BOOL: pa.bool_()}
"""Kinds of columns. JSON: texts that are values of their own, as lists, objects and numbers beyond int64."""

KINDS = {type_: kind for kind, type_ in TYPES.items()}

SIZE = struct.Struct("<I")


def normal(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with columns of TYPES. Raises ValueError, TypeError or ArrowInvalid where that cannot be."""
    return pa.RecordBatch.from_arrays([_normal(column) for column in batch.columns], batch.schema.names)


def encode(batch: pa.RecordBatch) -> bytes:
    """The bytes of a batch with columns of TYPES."""
    columns, buffers = [], []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind = KINDS[column.type]
        held = [*_buffers(kind, column.storage if kind == JSON else column)]
        columns.append([name, kind, *map(len, held)])
        buffers += held
    head = json.dumps({"rows": len(batch), "columns": columns}).encode()
    return b"".join((SIZE.pack(len(head)), head, *buffers))


def decode(body: memoryview) -> pa.RecordBatch:
    """The batch, each array of it validated in full. Raises what reading a stranger's bytes raises:
    ValueError (ArrowInvalid is one), TypeError, LookupError, struct.error."""
    size = SIZE.unpack_from(body)[0]
    head, at = json.loads(bytes(_cut(body, SIZE.size, size))), SIZE.size + size
    rows, columns = head["rows"], head["columns"]
    names = [str(name) for name, *_ in columns]
    if type(rows) is not int or not 0 <= rows < 2**31 or len(set(names)) < len(names) or not names:
        raise ValueError("its head is none")
    arrays = []
    for _, kind, *sizes in columns:
        buffers = []
        for size in sizes:
            buffers.append(_aligned(_cut(body, at, size)))
            at += size
        arrays.append(_array(kind, rows, buffers))
    if at != len(body):
        raise ValueError("bytes follow its columns")
    return pa.RecordBatch.from_arrays(arrays, names)


def _normal(array: pa.Array) -> pa.Array:
    types, kind = pa.types, array.type
    if isinstance(array, pa.ExtensionArray):
        is_json = kind.extension_name == "arrow.json"
        return _json(array.storage.cast(pa.string())) if is_json else _normal(array.storage)
    if types.is_dictionary(kind):
        return _normal(array.dictionary_decode())
    if (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    ):
        return array.cast(pa.string())
    if types.is_boolean(kind):
        return array
    if types.is_integer(kind):
        return array.cast(pa.int64())
    if types.is_floating(kind):
        return finite(array.cast(pa.float64()))
    spell = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    return _json(
        pa.array([None if value is None else spell(value) for value in array.to_pylist()], pa.string())
    )


def finite(array: pa.Array) -> pa.Array:
    """The same floats. Raises ValueError where one is not a number that JSON has."""
    if pc.any(pc.invert(pc.is_finite(array))).as_py():
        raise ValueError("Out of range float values are not JSON compliant")
    return array


def _json(texts: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(TYPES[JSON], texts)


def _buffers(kind: str, array: pa.Array) -> Iterator[bytes]:
    """Of an array that may be a slice of a longer one."""
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    yield b"" if valid is None else _bits(valid)
    if kind in (TEXT, JSON):
        _, edges, data = array.buffers()
        if not len(array) or edges is None:
            yield bytes(4)
            yield b""
            return
        offsets = np.frombuffer(edges, np.int32)[array.offset : array.offset + len(array) + 1]
        yield (offsets - offsets[0]).tobytes()
        yield b"" if data is None else data[int(offsets[0]) : int(offsets[-1])].to_pybytes()
    else:
        values = pc.fill_null(array, False if kind == BOOL else 0).to_numpy(zero_copy_only=False)
        yield _bits(values) if kind == BOOL else values.tobytes()


def _bits(values: Any) -> bytes:
    return np.packbits(values, bitorder="little").tobytes()


def _cut(body: memoryview, at: int, size: int) -> memoryview:
    if type(size) is not int or size < 0 or at + size > len(body):
        raise ValueError("its sizes do not fit")
    return body[at : at + size]


def _aligned(held: memoryview) -> pa.Buffer:
    return pa.py_buffer(np.frombuffer(held, np.uint8).copy())


def _array(kind: str, rows: int, buffers: list[Any]) -> pa.Array:
    """An array over buffers from outside."""
    sizes = [buffer.size for buffer in buffers]
    bits = (rows + 7) // 8
    values = {BOOL: [bits], INT: [8 * rows], FLOAT: [8 * rows]}.get(kind, [4 * rows + 4, sizes[-1]])
    if kind not in TYPES or sizes[0] not in (0, bits) or sizes[1:] != values:
        raise ValueError("its buffers do not fit")
    storage = pa.string() if kind == JSON else TYPES[kind]
    array = pa.Array.from_buffers(storage, rows, [buffers[0] if sizes[0] else None, *buffers[1:]])
    array.validate(full=True)
    return _json(array) if kind == JSON else finite(array) if kind == FLOAT else array
