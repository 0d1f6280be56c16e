"""Parquet decoded by cuDF, as an engine of a job has it: pyarrow's very bytes, how fast, in what memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.gpu_day.places import simulated, simulated_parquet, timed
from benchmarks.gpu_day.row import Row, held
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import peak_factors
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.inputs import resolve
from forge_gpu.io.row_groups import RowGroups
from forge_gpu.kernels.layout import Spans

SIZE = 1 << 27
POOL = 4 << 30
COLUMNS = ("query", "response", "note")
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"compression": "none", "use_dictionary": False},
    "snappy": {"compression": "snappy"},
    "gzip": {"compression": "gzip"},
    "zstd": {"compression": "zstd"},
    "zstd, pages of version 2": {"compression": "zstd", "data_page_version": "2.0"},
    "delta lengths": {"use_dictionary": False, "column_encoding": "DELTA_LENGTH_BYTE_ARRAY"},
    "delta texts": {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
}


@dataclass(frozen=True)
class Place:
    """Where Parquet is decoded. pool: None in a dry run."""

    engine: Any
    pool: Any

    @property
    def rows(self) -> int:
        return 40 if self.pool is None else SIZE // 1250


def rows(dry: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as folder:
        place = _simulated() if dry else _gpu()
        path = Path(folder) / "in.parquet"
        table = _table(place.rows)
        for form, options in FORMS.items():
            _write(table, path, **options)
            yield _decoded(place, path, form)
        if place.pool is not None:
            stages = peak_factors()["gpu"]["passes"]["decode"]
            counted = sum(stages.values()) - stages["before"]
            size = sum(int(arrow_spans(table.column(name)).length.sum()) for name in COLUMNS)
            figure = f"{place.pool.peak / size:.2f} times the texts, {counted:.2f} are counted on"
            yield Row("parquet", "peak of the pool", figure)
        _write(table, path, **FORMS["plain"])
        yield _after_damage(place, path)


def _decoded(place: Place, path: Path, form: str) -> Row:
    """The columns against pyarrow's, and the speeds of both."""
    expected, host_seconds = timed(pq.read_table, path, columns=list(COLUMNS), use_threads=False)
    required = _groups(path)
    place.engine.parquet_texts(required)  # the first one loads libraries
    (count, result), seconds = timed(place.engine.parquet_texts, required)
    if result is None or count != len(required.groups):
        return Row("parquet", f"Parquet, {form}", "the engine leaves it to the host", "FAILED")
    good = all(_same(result[name], arrow_spans(expected.column(name))) for name in COLUMNS)
    size = sum(int(column.length.sum()) for column in result.values()) / 1e9
    speeds = f"{size / seconds:.1f} GB/s of text, pyarrow {size / host_seconds:.2f} on one core"
    return Row("parquet", f"Parquet, {form}", "ran" if place.pool is None else speeds, held(good))


def _after_damage(place: Place, path: Path) -> Row:
    """A damaged page has to be noticed, and what comes behind it has to be right."""
    whole = path.read_bytes()
    page = pq.read_metadata(path).row_group(1).column(2).data_page_offset  # of responses
    path.write_bytes(whole[:page] + bytes(40) + whole[page + 40 :])
    try:
        place.engine.parquet_texts(_groups(path))
        reported = "no error, though pyarrow has one"
    except Exception as fault:
        reported = f"{type(fault).__name__}: {' '.join(str(fault).split())[:60]}"
    noticed = not reported.startswith("no error")
    path.write_bytes(whole)
    again = _decoded(place, path, "again")
    good = noticed and again.verdict == "ok"
    return Row("parquet", "after a damaged page", f"{reported}; then {again.figure}", held(good))


def _same(spans: Spans, expected: Spans) -> bool:
    expected = expected.part(slice(None))
    arrays = ("start", "length", "kind", "data")
    return all(np.array_equal(getattr(spans, name), getattr(expected, name)) for name in arrays)


def _groups(path: Path) -> RowGroups:
    metadata = pq.read_metadata(path)
    numbers = tuple(range(metadata.num_row_groups))
    return RowGroups(resolve([str(path)])[0], path, metadata, numbers, COLUMNS)


def _table(count: int) -> pa.Table:
    """Rows of about 1.2 kB; notes are short, of few kinds, and null for two in three."""
    answer = 'It depends on "what" you mean.\nFirst, look at the data; then look again — gründlich. ' * 12
    return pa.table(
        {
            "query": [f"Question {number}: how does this work?" for number in range(count)],
            "number": list(range(count)),
            "response": [f"{number}. {answer}" for number in range(count)],
            "note": [None if number % 3 else f"nöte {number % 7}" for number in range(count)],
        }
    )


def _write(table: pa.Table, path: Path, **options: Any) -> None:
    encoding = options.pop("column_encoding", None)
    encodings = {} if encoding is None else {"column_encoding": dict.fromkeys(COLUMNS, encoding)}
    pq.write_table(table, path, row_group_size=max(len(table) // 4, 1), **options, **encodings)


def _gpu() -> Place:
    from forge_gpu.engine.gpu.start import open_engine
    from forge_gpu.hardware.gpus import read_gpus

    pools: dict[int, Any] = {}
    engine = open_engine(read_gpus().devices[0], POOL, pools)
    return Place(engine, next(iter(pools.values())))


def _simulated() -> Place:
    from forge_gpu.engine.gpu.engine import GpuEngine

    decoder = simulated_parquet(codecs={"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"})
    return Place(GpuEngine(simulated(), CpuEngine(), 0, decoder), None)
