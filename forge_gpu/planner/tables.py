"""The first rows of a Parquet or Arrow file. Only loaded for such a file: pyarrow takes a while to import."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from forge_gpu.errors import InputError
from forge_gpu.io import ipc
from forge_gpu.io.checked import FAULTS, check
from forge_gpu.io.columns import row_values
from forge_gpu.io.formats import Format
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.streams import Damaged, decompressed

ROWS_AT_ONCE = 16
"""So few are decoded together: a row may be large."""


def first_rows(file: InputFile, format: Format, count: int) -> tuple[list[dict[str, Any] | None], int | None]:
    """Up to `count` rows as the job reads them, None for one that is not UTF-8; and the number of rows of the
    file where it says so. Raises InputError."""
    try:
        content: Path | bytes = Path(file.url)
        if format.compression or file.is_remote:
            with file.open() as handle:
                content = b"".join(decompressed(handle, format.compression, file))
        if format.kind == "parquet":
            return _of_parquet(content, count)
        opener = ipc.open_file if format.kind == "arrow" else ipc.open_stream
        result = opener(file, content, False, [], most=1)
        if result.needs_order:
            return _values(ipc.in_order(file, result, False, [], 2**20), count), None
        rows = min(result.starts[-1], count)
        names = result.schema.names
        batches = (
            result.reader.rows(0, at, min(ROWS_AT_ONCE, rows - at), names)
            for at in range(0, rows, ROWS_AT_ONCE)
        )
        return _values(batches, count), 0 if len(result.starts) == 1 else None
    except Damaged as damage:
        raise damage.fault(file) from None
    except FAULTS as error:
        raise InputError(
            f"{file.path}: cannot be read as {format.kind}: {' '.join(str(error).split())[:200]}"
        ) from None


def _of_parquet(content: Path | bytes, count: int) -> tuple[list[dict[str, Any] | None], int]:
    source = pa.BufferReader(content) if isinstance(content, bytes) else content
    with parquet.ParquetFile(source, buffer_size=2**20, pre_buffer=False) as table:
        batches = table.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False)
        return _values(_checked(batches), count), table.metadata.num_rows


def _checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        check(batch)
        yield batch


def _values(batches: Iterator[pa.RecordBatch], count: int) -> list[dict[str, Any] | None]:
    return list(islice((row for batch in batches for row in row_values(batch)), count))
