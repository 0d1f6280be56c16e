"""Output files read back as Arrow, for the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from forge_gpu.errors import ForgeError
from forge_gpu.io.sinks.base import OutputPath
from forge_gpu.io.sinks.registry import format_of


def require_rows(batch_rows: int) -> None:
    """Raise ForgeError where batches would have no rows."""
    if batch_rows < 1:
        raise ForgeError(f"batch_rows is {batch_rows}: a batch has at least one row")


def iter_batches(
    format: str, paths: Sequence[OutputPath], columns: Mapping[str, str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of some output files of a format, in batches of at most `batch_rows`."""
    for path in paths:
        yield from format_of(format).batches(path, columns, batch_rows)
