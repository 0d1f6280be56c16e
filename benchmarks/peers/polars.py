"""Polars: lazy scans, its streaming engine, and its own expressions throughout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.work import (
    COLUMNS,
    END,
    MIDDLE,
    SEED,
    USER,
    VALIDATION,
    facts,
    output_paths,
    split_facts,
    table_facts,
)

VERSIONS = {"polars": pl.__version__}
SCHEMA = dict.fromkeys(COLUMNS, pl.String())


def _text() -> pl.Expr:
    with_input = pl.concat_str("instruction", pl.lit("\n"), "input")
    query = pl.when(pl.col("input") == "").then("instruction").otherwise(with_input)
    return pl.concat_str(pl.lit(USER), query, pl.lit(MIDDLE), "output", pl.lit(END)).alias("text")


def _in_validation() -> pl.Expr:
    required = (pl.len().over("category") * VALIDATION).round()
    return pl.int_range(pl.len()).shuffle(SEED).over("category") < required


def read_jsonl(input: str) -> Callable[[], Any]:
    def work() -> Callable[[], Any]:
        frame = pl.read_ndjson(input, schema=SCHEMA)
        return lambda: table_facts(frame[name] for name in COLUMNS)

    return work


def render_flat(input: str) -> Callable[[], Any]:
    frame = pl.read_ndjson(input, schema=SCHEMA)

    def work() -> Callable[[], Any]:
        texts = frame.select(_text())
        return lambda: facts(texts["text"])

    return work


def write_jsonl(input: str, folder: str) -> Callable[[], Any]:
    frame = pl.read_ndjson(input, schema=SCHEMA).select(_text(), "category")
    train, _ = output_paths(folder)
    return lambda: frame.lazy().sink_ndjson(train)


def exact_dedup(input: str) -> Callable[[], Any]:
    frame = pl.read_ndjson(input, schema=SCHEMA).select(_text())

    def work() -> Callable[[], Any]:
        texts = frame.unique("text", keep="any")
        return lambda: facts(texts["text"])

    return work


def split(input: str) -> Callable[[], Any]:
    frame = pl.read_ndjson(input, schema=SCHEMA).select("category")

    def work() -> Callable[[], Any]:
        chosen = frame.select("category", _in_validation().alias("chosen"))
        return lambda: dict(chosen.filter("chosen")["category"].value_counts().iter_rows())

    return work


def shuffled_split(input: str) -> Callable[[], Any]:
    frame = pl.read_ndjson(input, schema=SCHEMA)

    def work() -> Callable[[], Any]:
        rows = frame.sample(fraction=1, shuffle=True, seed=SEED)
        size = round(len(rows) * VALIDATION)
        validation, train = rows[:size], rows[size:]
        return lambda: split_facts(train, validation)

    return work


def whole_job(input: str, folder: str) -> Callable[[], Any]:
    return _whole_job(input, folder, lambda rows: rows.unique("text", keep="any"))


def whole_job_hashed(input: str, folder: str) -> Callable[[], Any]:
    """Equality of texts by their 64-bit hash: faster, and some day drops a row that is no duplicate."""
    return _whole_job(input, folder, lambda rows: rows.filter(pl.col("text").hash(SEED).is_first_distinct()))


def whole_job_to_parquet(input: str, folder: str) -> Callable[[], Any]:
    train, validation = (Path(path).with_suffix(".parquet") for path in output_paths(folder))

    def work() -> None:
        scanned = pl.scan_parquet(input).select(_text(), "category")
        rows = scanned.unique("text", keep="any").collect(engine="streaming")
        chosen = rows.select(_in_validation()).to_series()
        for part, path in ((rows.filter(~chosen), train), (rows.filter(chosen), validation)):
            part.lazy().sink_parquet(path, compression="zstd", compression_level=1)

    return work


def _whole_job(input: str, folder: str, unique: Callable[[pl.LazyFrame], pl.LazyFrame]) -> Callable[[], Any]:
    train, validation = output_paths(folder)

    def work() -> None:
        scanned = pl.scan_ndjson(input, schema=SCHEMA).select(_text(), "category")
        rows = unique(scanned).collect(engine="streaming")
        chosen = rows.select(_in_validation()).to_series()
        rows.filter(~chosen).lazy().sink_ndjson(train)
        rows.filter(chosen).lazy().sink_ndjson(validation)

    return work
