"""Arrow columns as spans."""

from __future__ import annotations

from binascii import b2a_base64
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from forge_gpu.errors import InputError
from forge_gpu.io.checked import is_list, is_text, is_view
from forge_gpu.io.to_arrow import text_to_arrow
from forge_gpu.io.weights import compact, list_lengths
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.render import render
from forge_gpu.kernels.layout import JSON, NULL, PLAIN, Spans, empty_spans, spans_of_offsets
from forge_gpu.kernels.scratch import Scratch

KEPT_NULL = "content"
"""The one field of a nested record whose null says something: a message without text, as a tool call is."""


def arrow_spans(column: pa.Array | pa.ChunkedArray) -> Spans:
    """A column as spans, without a copy of its bytes where they lie in one piece; texts of a dictionary are
    spans over the dictionary. The column was checked (`checked.check`).

    Text, binary, dates and times (ISO 8601) give PLAIN; numbers, booleans, lists, structs and maps give JSON,
    the text of the value: integers and decimals with every digit, floats in the shortest spelling that
    reads back, float NaN and infinity as NULL. In nested values a field that is null is left out, for columns
    of structs widen records with nulls that they never had, but for a message's `content`; the bytes of a
    file (see `is_medium`) are base64. Text is not checked to be UTF-8 here; a nested value that is not UTF-8
    gives PLAIN with a byte that is not.
    Raises InputError for a type that has no JSON form, or offsets that leave their buffer.
    """
    if isinstance(column, pa.DictionaryArray) and is_text(column.type.value_type):
        return _spans_of_dictionary(column)
    array = _one_array(column)
    kind = array.type
    if pa.types.is_null(kind):
        return empty_spans(len(array), NULL)
    if is_text(kind):
        return _text_spans(array)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        return _text_spans(_iso(array))
    return _json_spans(_json_text(array))


def source_json(batch: pa.RecordBatch, i: int) -> bytes:
    """Row i as one JSON object, for rejected rows. Bytes that are not UTF-8 become \\xff and so on."""
    fields = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        spans = arrow_spans(column.slice(i, 1))
        value = spans.raw(0)
        if spans.kind[0] == PLAIN:
            value = orjson.dumps(value.decode("utf-8", "backslashreplace"))
        fields.append(orjson.dumps(name) + b":" + (b"null" if spans.kind[0] == NULL else value))
    return b"{" + b",".join(fields) + b"}"


def row_values(batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    """Rows as Python objects, of what JSON has; None for a row with a value that is not UTF-8."""
    columns = [arrow_spans(column) for column in batch.columns]
    rows: list[dict[str, Any] | None] = []
    for i in range(len(batch)):
        try:
            values = zip(batch.schema.names, (_value(spans, i) for spans in columns), strict=True)
            rows.append(dict(values))
        except UnicodeDecodeError:
            rows.append(None)
    return rows


def _value(spans: Spans, i: int) -> Any:
    kind = spans.kind[i]
    if kind == NULL:
        return None
    return spans.raw(i).decode() if kind == PLAIN else orjson.loads(spans.raw(i))


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of the value type: extension types, dictionaries and run-ends resolved."""
    if isinstance(column, pa.ChunkedArray):
        column = (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
        )
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    return column


def _text_spans(array: pa.Array) -> Spans:
    kind = array.type
    if pa.types.is_fixed_size_binary(kind) or is_view(kind):
        array = array.cast(pa.large_binary())
        kind = array.type
    if not len(array):
        return empty_spans(0)
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    _, edges, data = array.buffers()
    view = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    every: npt.NDArray[Any] = np.frombuffer(edges, np.int64 if wide else np.int32)
    offsets = every[array.offset : array.offset + len(array) + 1]
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    return spans_of_offsets(view, offsets, valid)


def _spans_of_dictionary(array: pa.DictionaryArray) -> Spans:
    values = _text_spans(array.dictionary)
    indices = array.indices
    places = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if not len(values):
        return empty_spans(len(array), NULL)
    spans = Spans(values.data, values.start[places], values.length[places], values.kind[places])
    if indices.null_count:
        gone = ~indices.is_valid().to_numpy(zero_copy_only=False)
        spans.kind[gone], spans.length[gone] = NULL, 0
    return spans


def _iso(array: pa.Array) -> pa.Array:
    """Dates and times as text; date and time of day have a T between them."""
    return pc.replace_substring(array.cast(pa.string()), " ", "T", max_replacements=1)


def _json_spans(text: pa.LargeBinaryArray) -> Spans:
    """Texts of JSON values as spans; those that are not UTF-8 are marked, for the engine to reject."""
    spans = _text_spans(text)
    spans.kind[spans.kind == PLAIN] = JSON
    try:
        text.cast(pa.large_string())
    except pa.ArrowInvalid:
        values = text.to_pylist()
        for i, value in enumerate(values):
            if value is not None and not _is_utf8(value):
                spans.kind[i] = PLAIN
    return spans


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _json_text(array: pa.Array) -> pa.LargeBinaryArray:
    """The JSON text of each value; null where the value is null."""
    array = _one_array(array)
    kind = array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.large_binary())
    if is_text(kind):
        return _quoted(array)
    if pa.types.is_floating(kind):
        return _float_text(array)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return array.cast(pa.string()).cast(pa.large_binary())
    if pa.types.is_duration(kind):
        return array.cast(pa.int64()).cast(pa.string()).cast(pa.large_binary())
    if pa.types.is_temporal(kind):
        return _quoted(_iso(array))
    if pa.types.is_struct(kind):
        return _struct_text(array)
    if pa.types.is_map(kind):
        return _map_text(array)
    if is_list(kind):
        return _list_text(array)
    raise InputError(f"a column of type {kind} has no JSON form; convert it, or leave it out")


def _bytes(value: bytes) -> pa.Scalar:
    return pa.scalar(value, pa.large_binary())


def _join(*parts: Any, nulls: str = "emit_null", between: bytes = b"") -> pa.LargeBinaryArray:
    return pc.binary_join_element_wise(*parts, _bytes(between), null_handling=nulls)


def _quoted(array: pa.Array) -> pa.LargeBinaryArray:
    """Texts as JSON strings in the canonical spelling; null where they are null."""
    spans = _text_spans(array)
    n = len(spans)
    if not n:
        return pa.array([], pa.large_binary())
    program, rows = np.zeros(n, np.int32), np.arange(n)
    text = render(_QUOTE, program, [spans], rows, layout.AS_JSON, None, Scratch())
    quoted = text_to_arrow(text, spans.kind != NULL)
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), n, quoted.buffers(), array.null_count)


_QUOTE = layout.ProgramTable(
    part=np.array([[layout.RAW_SLOT, -1, 0, 0]], np.int32),
    program=np.array([0, 1], np.int32),
    literals=np.zeros(layout.PADDING, np.uint8),
    literal_offsets=np.zeros(1, np.int64),
    columns=("text",),
    level=np.zeros(1, np.uint8),
)
"""The program that writes a column as JSON values."""


def _float_text(array: pa.Array) -> pa.LargeBinaryArray:
    """The shortest spelling of each float of its own width; NaN and infinity are null."""
    if not len(array):
        return pa.array([], pa.large_binary())
    finite = pc.fill_null(pc.is_finite(array), False)
    values = np.ascontiguousarray(
        pc.if_else(finite, array, pa.scalar(0, array.type)).to_numpy(zero_copy_only=False)
    )
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    return pc.if_else(finite, pa.array(text, pa.large_binary()), pa.scalar(None, pa.large_binary()))


def _struct_text(array: pa.StructArray) -> pa.LargeBinaryArray:
    members = []
    for i, field in enumerate(array.type):
        is_file = field.name == "bytes" and is_medium(array.type)
        text = _base64_text(array.field(i)) if is_file else _json_text(array.field(i))
        if field.name == KEPT_NULL:
            text = pc.fill_null(text, _bytes(b"null"))
        members.append(_join(_bytes(orjson.dumps(field.name) + b":"), text))
    if not members:
        body = pa.array([b""] * len(array), pa.large_binary())
    else:
        # Arrow 26 leaves out a row of which it skips everything.
        is_empty = reduce(pc.and_, [member.is_null() for member in members])
        members[0] = pc.if_else(is_empty, _bytes(b""), members[0])
        body = _join(*members, nulls="skip", between=b",")
    return _valid_only(array, _join(_bytes(b"{"), body, _bytes(b"}")))


def is_medium(kind: pa.StructType) -> bool:
    """Whether a struct is an image or a sound as `datasets` has them: the bytes of a file, and its path."""
    fields = {field.name: field.type for field in kind}
    is_one = fields.keys() == {"bytes", "path"}
    return is_one and (pa.types.is_binary(fields["bytes"]) or pa.types.is_large_binary(fields["bytes"]))


def _base64_text(array: pa.Array) -> pa.LargeBinaryArray:
    """The bytes of files as JSON has room for them."""
    coded = (None if file is None else b2a_base64(file, newline=False) for file in array.to_pylist())
    quoted = (None if text is None else b'"' + text + b'"' for text in coded)
    return pa.array(quoted, pa.large_binary())


def _list_text(array: Any) -> pa.LargeBinaryArray:
    """Lists of all kinds: the texts of the elements, joined."""
    values = pc.fill_null(_json_text(array.flatten()), _bytes(b"null"))
    return _valid_only(array, _joined(list_lengths(array), values, b"[", b"]"))


def _map_text(array: pa.MapArray) -> pa.LargeBinaryArray:
    """Maps as objects; a key that is not a text is written as its JSON text in quotes."""
    array = compact(array)
    lengths = np.diff(array.offsets.to_numpy())
    keys = _json_text(array.keys)
    if not is_text(array.type.key_type):
        keys = _join(_bytes(b'"'), keys, _bytes(b'"'))
    entries = _join(keys, pc.fill_null(_json_text(array.items), _bytes(b"null")), between=b":")
    return _valid_only(array, _joined(lengths, entries, b"{", b"}"))


def _joined(lengths: Any, values: pa.LargeBinaryArray, opening: bytes, closing: bytes) -> pa.LargeBinaryArray:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), values)
    return _join(_bytes(opening), pc.binary_join(lists, _bytes(b",")), _bytes(closing))


def _valid_only(array: pa.Array, text: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    if not array.null_count:
        return text
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.large_binary()))
