"""Whether an Arrow array from outside may be looked at: its offsets and indices stay in their buffers.

Texts need not be UTF-8 for that: a row whose text is not is rejected, and the table is not damaged by it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def check(batch: pa.RecordBatch) -> None:
    """Raise ArrowInvalid where a value of the batch cannot be read. Every array is checked in full."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if len(column) != len(batch):
            raise pa.ArrowInvalid(f"column {name!r} has {len(column)} rows, not {len(batch)}")
        try:
            check_array(column)
        except pa.ArrowException as fault:
            raise pa.ArrowInvalid(f"column {name!r} is damaged: {fault}") from fault


def check_array(array: pa.Array) -> None:
    """As `check`, of one array. Its children are looked at one by one: Arrow's own check of a whole one would
    refuse texts that are not UTF-8."""
    kind = array.type
    array.validate()
    if isinstance(array, pa.ExtensionArray):
        check_array(array.storage)
    elif is_view(kind):
        _check_view(array)
    elif is_text(kind):
        _as_binary(array).validate(full=True)
    elif pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            check_array(array.field(i))
    elif pa.types.is_dictionary(kind):
        _check_dictionary(array)
    elif pa.types.is_run_end_encoded(kind):
        _check_runs(array)
    elif is_list(kind):
        _check_list(array)
    elif pa.types.is_union(kind):
        raise pa.ArrowInvalid(f"values of type {kind} have no JSON form")
    else:
        array.validate(full=True)


FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError, KeyError)
"""What pyarrow raises for a table that is damaged; names that are not UTF-8 are a
ValueError, and one that stands otherwise in two places is a KeyError."""

_VIEWS = frozenset((pa.string_view().id, pa.binary_view().id))
_TEXTS = _VIEWS | {
    kind.id for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(1))
}
_LISTS = frozenset(
    kind.id
    for kind in (
        pa.list_(pa.null()),
        pa.large_list(pa.null()),
        pa.list_view(pa.null()),
        pa.large_list_view(pa.null()),
        pa.list_(pa.null(), 1),
        pa.map_(pa.string(), pa.null()),
    )
)
"""Numbers of types: asking `pa.types` one by one takes ten times as long, for each column of each batch."""


def is_text(kind: pa.DataType) -> bool:
    """Text or bytes, however they are laid out."""
    return kind.id in _TEXTS


def is_view(kind: pa.DataType) -> bool:
    """Text or bytes as views into several buffers."""
    return kind.id in _VIEWS


def is_list(kind: pa.DataType) -> bool:
    """Lists of every layout, maps among them."""
    return kind.id in _LISTS


def _as_binary(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_string(kind):
        kind = pa.binary()
    elif pa.types.is_large_string(kind):
        kind = pa.large_binary()
    return pa.Array.from_buffers(kind, len(array), array.buffers(), offset=array.offset)


def _check_view(array: pa.Array) -> None:
    """A view's bytes are compared with its prefix by the full check, so it sees every reach; what may fail
    in it beside is UTF-8."""
    array.view(pa.binary_view()).validate(full=True)


def _check_list(array: Any) -> None:
    kind = array.type
    children = [pa.nulls(len(array.values))]
    if pa.types.is_fixed_size_list(kind):
        bare: Any = pa.list_(pa.null(), kind.list_size)
    elif pa.types.is_large_list(kind):
        bare = pa.large_list(pa.null())
    elif pa.types.is_list_view(kind):
        bare = pa.list_view(pa.null())
    elif pa.types.is_large_list_view(kind):
        bare = pa.large_list_view(pa.null())
    else:
        bare = pa.list_(pa.null())
    own = array.buffers()[: 3 if "view" in str(bare) else 1 if pa.types.is_fixed_size_list(kind) else 2]
    edges = pa.Array.from_buffers(bare, len(array), own, offset=array.offset, children=children)
    edges.validate(full=True)
    check_array(array.values)


def _check_dictionary(array: Any) -> None:
    check_array(array.dictionary)
    indices = array.indices
    indices.validate(full=True)
    edges = pc.min_max(indices)
    low, high = edges["min"].as_py(), edges["max"].as_py()
    if low is not None and not 0 <= low <= high < len(array.dictionary):
        raise pa.ArrowInvalid(f"an index leaves its dictionary of {len(array.dictionary)} values")


def _check_runs(array: Any) -> None:
    check_array(array.values)
    ends = array.run_ends
    ends.validate(full=True)
    steps = ends.to_numpy(zero_copy_only=False)
    if ends.null_count or (len(steps) and steps[0] < 1) or (steps[1:] <= steps[:-1]).any():
        raise pa.ArrowInvalid("the ends of runs do not rise")
    if len(array) and (not len(steps) or int(steps[-1]) < array.offset + len(array)):
        raise pa.ArrowInvalid("runs end before the array does")
