"""Output files read back as Arrow, for the library, for Parquet and for the check of what was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.engine.base import Engine
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ForgeError, ValidationError
from forge_gpu.io.remote import RemotePath
from forge_gpu.io.to_arrow import text_to_arrow
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records, Spans, Text
from forge_gpu.templates.program import RawSlot, pack

BLOCK_BYTES = 4 * 2**20
NO_BOUND = 2**62
RECORD = "record"
"""The one column of the form `source`, whose records have columns of their own: each whole, as JSON text."""

_TYPES = {
    "string": pa.large_string(),
    "json": pa.large_string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}
_VALUE = pack([(RawSlot("value"),)])


def schema_of(columns: dict[str, str]) -> pa.Schema:
    """The Arrow schema of a manifest's `columns`, which are {} for the form `source`; columns of JSON text
    say so in their metadata."""
    return pa.schema(
        [
            pa.field(name, _TYPES[kind], metadata={"forge": "json"} if kind == "json" else None)
            for name, kind in (columns or {RECORD: "json"}).items()
        ]
    )


def require_rows(batch_rows: int) -> None:
    """Raise ForgeError where batches would have no rows."""
    if batch_rows < 1:
        raise ForgeError(f"batch_rows is {batch_rows}: a batch has one row at least")


def iter_batches(
    paths: Sequence[Path | RemotePath], columns: dict[str, str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of some output files, of either format, in batches of at most `batch_rows`."""
    engine = CpuEngine()
    for path in paths:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path if isinstance(path, Path) else path.open()) as file:
                yield from file.iter_batches(batch_rows)
            continue
        for block in blocks_of_lines(path):
            records = engine.scan(block, "lines", tuple(columns), NO_BOUND)
            check_lines(path, records)
            batch = batch_of_records(engine, records, columns)
            for start in range(0, len(batch), batch_rows):
                yield batch.slice(start, batch_rows)


def blocks_of_lines(path: Path | RemotePath, block_bytes: int = BLOCK_BYTES) -> Iterator[layout.U8]:
    """A file of JSON lines in blocks of whole lines; a block is longer than wanted where a line is."""
    with path.open("rb", buffering=0) as file:
        buffer = np.empty(block_bytes, np.uint8)
        held = 0
        while True:
            if held == len(buffer):
                buffer = np.concatenate([buffer, np.empty(len(buffer), np.uint8)])
            read = file.readinto(buffer[held:].data)
            end = held + (read or 0)
            if not read:
                if end:
                    yield buffer[:end]
                return
            whole = _after_last_newline(buffer[:end])
            if whole:
                yield buffer[:whole]
                buffer[: end - whole] = buffer[whole:end].copy()
            held = end - whole


def _after_last_newline(data: layout.U8) -> int:
    for begin in range(len(data), 0, -65536):
        found = np.flatnonzero(data[max(begin - 65536, 0) : begin] == 10)
        if len(found):
            return max(begin - 65536, 0) + int(found[-1]) + 1
    return 0


def check_lines(path: Path | RemotePath, records: Records) -> None:
    """Raise ValidationError where a line is no JSON object."""
    if records.reason.any():
        row = int(np.flatnonzero(records.reason)[0])
        line = records.data[
            records.start[row] : records.start[row] + min(int(records.length[row]), 80)
        ].tobytes()
        raise ValidationError(f"{path}: holds a line that is no JSON record", f": {line!r}")


def batch_of_records(engine: Engine, records: Records, columns: dict[str, str]) -> pa.RecordBatch:
    """Scanned output lines as one Arrow batch with memory of its own."""
    if columns:
        arrays = [_array(engine, records.columns[name], kind) for name, kind in columns.items()]
    else:
        kinds = np.full(len(records), layout.JSON, np.uint8)
        arrays = [_array(engine, Spans(records.data, records.start, records.length, kinds), "json")]
    return pa.record_batch(arrays, schema=schema_of(columns))


def _array(engine: Engine, column: Spans, kind: str) -> pa.Array:
    valid = (column.kind != layout.NULL) & (column.kind != layout.ABSENT)
    if kind == "json":
        rows = np.arange(len(column), dtype=np.int64)
        text = engine.render(_VALUE, np.zeros(len(column), np.int32), [column], rows, layout.AS_TEXT)
    else:
        text = engine.text(column)
    # The engine's buffers are used again for the next column: the array gets memory of its own.
    own = Text(text.data[: text.offsets[-1]].copy(), text.offsets.copy())
    return text_to_arrow(own, valid).cast(_TYPES[kind])
