"""The first rows of a Parquet or Arrow file. Only loaded for such a file: pyarrow takes a while to import."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from forge_gpu.errors import InputError
from forge_gpu.io.formats import Format
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.streams import decompressed


def first_rows(file: InputFile, format: Format, count: int) -> tuple[list[dict[str, Any]], int | None]:
    """Up to `count` rows as Python objects, and the number of rows of the file where it says so."""
    try:
        with file.open() as handle:
            source = handle
            if format.compression:
                source = pa.BufferReader(b"".join(decompressed(handle, format.compression, file)))
            if format.kind == "parquet":
                table = parquet.ParquetFile(source)
                batch = next(table.iter_batches(batch_size=count), None)
                return ([] if batch is None else batch.to_pylist()), table.metadata.num_rows
            if format.kind == "arrow":
                reader = pa.ipc.open_file(source)
                if reader.num_record_batches == 0:
                    return [], 0
                return reader.get_batch(0).slice(0, count).to_pylist(), None
            batch = next(iter(pa.ipc.open_stream(source)), None)
            return ([] if batch is None else batch.slice(0, count).to_pylist()), None
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file.path}: cannot be read as {format.kind}: {str(error).splitlines()[0]}"
        ) from None
