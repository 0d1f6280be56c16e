"""Whether rendered texts have the tokens already that a tokenizer or a trainer would put around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

LOOKED_AT = 1000
"""Rows of a file whose beginnings and ends are compared with the special tokens."""
BEGINNINGS, ENDS = ("text", "prompt"), ("text", "completion", "chosen", "rejected")


def written_ends(
    columns: Mapping[str, str], batches: Iterable[pa.RecordBatch], bos: str | None, eos: str | None
) -> tuple[bool | None, bool | None]:
    """Whether all rows begin with one, and end with the other, white space aside. columns: as in the
    manifest. None where the rows have no such column."""
    first = [name for name in BEGINNINGS if columns.get(name) == "string"]
    last = [name for name in ENDS if columns.get(name) == "string"]
    begins = bool(bos) if first else None
    ends = bool(eos) if last else None
    for batch in batches:
        for name in first:
            begins = begins and all(text.startswith(bos) for text in batch[name].to_pylist())
        for name in last:
            ends = ends and all(text.rstrip().endswith(eos) for text in batch[name].to_pylist())
    return begins, ends
