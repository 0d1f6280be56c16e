"""Rows of Parquet and Arrow tables, from evenly spread places. Only loaded for such a file: pyarrow takes a
while to import."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from forge_gpu.errors import InputError
from forge_gpu.foretell.cut import Cut
from forge_gpu.io import ipc
from forge_gpu.io.checked import FAULTS, check
from forge_gpu.io.formats import Format
from forge_gpu.io.inputs import InputFile

PLACES = 16
"""Of a table that are looked into."""
ROWS_AT_ONCE = 64
"""So few are decoded together: a row may be large."""
DECODED = 8
"""Decoded bytes that are taken of a table for each byte to be looked at: a small file may hold much."""
LEAST_DECODED = 2**22


def cut_table(file: InputFile, format: Format, most: float, path: Path) -> Cut:
    """About `most` bytes of a table, as one of the same kind. Raises InputError."""
    try:
        return _parquet(file, most, path) if format.kind == "parquet" else _arrow(file, format, most, path)
    except FAULTS as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"{file.path}: cannot be read as {format.kind}: {what}") from None


def _parquet(file: InputFile, most: float, path: Path) -> Cut:
    """The first rows of evenly spread row groups, written as the file is; their share of the file's bytes."""
    size = file.size or 1
    with parquet.ParquetFile(file.url, buffer_size=2**20, pre_buffer=False) as table:
        rows, groups = table.metadata.num_rows, table.metadata.num_row_groups
        if not rows:
            return Cut(0.0)
        wanted, got = _wanted(rows, most, size), 0
        chosen = sorted({int((number + 0.5) * groups / PLACES) for number in range(PLACES)})
        codec = table.metadata.row_group(chosen[0]).column(0).compression
        with parquet.ParquetWriter(path, table.schema_arrow, compression=_codec(codec)) as out:
            for number, group in enumerate(chosen):
                left = len(chosen) - number
                batches = table.iter_batches(ROWS_AT_ONCE, row_groups=[group], use_threads=False)
                piece = list(_bounded(batches, (wanted - got) // left, _room(most) / len(chosen)))
                if piece:
                    out.write_table(pa.Table.from_batches(piece), row_group_size=rows)
                    got += sum(map(len, piece))
    return Cut(size * got / rows, len(chosen), is_head=groups == 1)


def _codec(name: str) -> str:
    return "none" if name == "UNCOMPRESSED" else name.lower()


def _wanted(rows: int, most: float, size: int) -> int:
    return max(PLACES, int(rows * min(1.0, most / size)))


def _room(most: float) -> float:
    return max(DECODED * most, LEAST_DECODED)


def _bounded(batches: Iterator[pa.RecordBatch], rows: int, room: float) -> Iterator[pa.RecordBatch]:
    """Rows as they come, checked: so many, or fewer where there is no room for their bytes."""
    for batch in batches:
        check(batch)
        batch = batch.slice(0, rows)
        if len(batch):
            yield batch
        rows, room = rows - len(batch), room - batch.nbytes
        if rows <= 0 or room <= 0:
            return


def _arrow(file: InputFile, format: Format, most: float, path: Path) -> Cut:
    """Rows of an Arrow file or stream from evenly spread places; where its dictionaries come between batches
    the first ones. Their share of its bytes."""
    size = file.size or 1
    opened = (ipc.open_file if format.kind == "arrow" else ipc.open_stream)(file, Path(file.url), False, [])
    try:
        if opened.needs_order:
            with closing(ipc.in_order(file, opened, False, [], ROWS_AT_ONCE * 2**10)) as batches:
                head = list(_bounded(batches, 2**62, most))
            _write(path, opened.schema, head)
            return Cut(float(min(sum(batch.nbytes for batch in head), size)), is_head=True)
        rows = opened.starts[-1]
        places = min(PLACES, rows)
        share = _wanted(rows, most, size) // max(places, 1)
        pieces = [
            list(_bounded(_rows_from(opened, number * rows // places), share, _room(most) / places))
            for number in range(places)
        ]
        _write(path, opened.schema, list(chain.from_iterable(pieces)))
        got = sum(len(batch) for piece in pieces for batch in piece)
        return Cut(size * got / max(rows, 1), max(places, 1))
    finally:
        opened.reader.close()


def _rows_from(opened: ipc.Batches, row: int) -> Iterator[pa.RecordBatch]:
    """The rows from one on, to the end of its batch."""
    batch = bisect_right(opened.starts, row) - 1
    begin, end = row - opened.starts[batch], opened.starts[batch + 1] - opened.starts[batch]
    for at in range(begin, end, ROWS_AT_ONCE):
        yield opened.reader.rows(batch, at, min(ROWS_AT_ONCE, end - at), opened.schema.names)


def _write(path: Path, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    plain = [piece for batch in batches for piece in ipc.plain(batch, LEAST_DECODED)]
    with path.open("wb") as sink:
        ipc.write(sink, plain, LEAST_DECODED, ipc.plain_schema(schema))
