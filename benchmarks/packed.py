"""Lines of flat rows in other files: compressed, and as Parquet."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from benchmarks import work

GROUP_ROWS = 20_000
"""Of a row group of Parquet: 18 MB of text, about."""


def write(lines: Path, path: Path) -> None:
    """Make `path` of a file of lines, as its suffix says; it appears when it is whole."""
    beside = path.with_name(path.name + ".partial")
    if path.suffix == ".parquet":
        _as_parquet(lines, beside)
    else:
        compression = {".gz": "gzip", ".zst": "zstd"}[path.suffix]
        with open(lines, "rb") as source, pa.output_stream(str(beside), compression) as packed:
            shutil.copyfileobj(source, packed, 2**20)
    beside.rename(path)


def _as_parquet(lines: Path, path: Path) -> None:
    schema = pa.schema([(name, pa.string()) for name in work.COLUMNS])
    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    rows = pj.read_json(lines, pj.ReadOptions(block_size=2**24), parse)
    pq.write_table(rows, path, row_group_size=GROUP_ROWS)  # the rest as pyarrow does it: Snappy, dictionaries
