"""DuckDB: one statement a step; threads are the cores that the process may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.work import COLUMNS, END, MIDDLE, SEED, USER, VALIDATION, facts, output_paths, table_facts

VERSIONS = {"duckdb": duckdb.__version__}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


QUERY = "instruction || CASE WHEN input = '' THEN '' ELSE chr(10) || input END"
TEXT = f"{_quoted(USER)} || {QUERY} || {_quoted(MIDDLE)} || output || {_quoted(END)}"


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    connection.execute("SET preserve_insertion_order = false")
    return connection


def _lines(input: str) -> str:
    types = ", ".join(f"{name}: 'VARCHAR'" for name in COLUMNS)
    return f"read_json({_quoted(input)}, format = 'newline_delimited', columns = {{{types}}})"


def _column(connection: duckdb.DuckDBPyConnection, table: str, name: str) -> list[str]:
    return [value for (value,) in connection.execute(f"SELECT {name} FROM {table}").fetchall()]


def read_jsonl(input: str) -> Callable[[], Any]:
    connection = _connect()

    def work() -> Callable[[], Any]:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE source AS FROM {_lines(input)}")
        return lambda: table_facts(_column(connection, "source", name) for name in COLUMNS)

    return work


def render_flat(input: str) -> Callable[[], Any]:
    connection = _connect()
    connection.execute(f"CREATE TEMP TABLE source AS FROM {_lines(input)}")

    def work() -> Callable[[], Any]:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE texts AS SELECT {TEXT} AS text FROM source")
        return lambda: facts(_column(connection, "texts", "text"))

    return work


def write_jsonl(input: str, folder: str) -> Callable[[], Any]:
    connection = _connect()
    connection.execute(f"CREATE TEMP TABLE texts AS SELECT {TEXT} AS text, category FROM {_lines(input)}")
    train, _ = output_paths(folder)

    def work() -> None:
        connection.execute(f"COPY texts TO {_quoted(train)} (FORMAT json)")

    return work


def exact_dedup(input: str) -> Callable[[], Any]:
    connection = _connect()
    connection.execute(f"CREATE TEMP TABLE texts AS SELECT {TEXT} AS text FROM {_lines(input)}")

    def work() -> Callable[[], Any]:
        connection.execute("CREATE OR REPLACE TEMP TABLE kept AS SELECT DISTINCT text FROM texts")
        return lambda: facts(_column(connection, "kept", "text"))

    return work


CHOSEN = f"""
    SELECT place FROM (
        SELECT rowid AS place, row_number() OVER (PARTITION BY category ORDER BY order_hash) AS q,
            count(*) OVER (PARTITION BY category) AS n FROM kept
    ) WHERE q <= round(n * {VALIDATION})
"""


def split(input: str) -> Callable[[], Any]:
    connection = _connect()
    connection.execute(
        f"CREATE TEMP TABLE kept AS SELECT category, hash(output, {SEED}) AS order_hash FROM {_lines(input)}"
    )

    def work() -> Callable[[], Any]:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS {CHOSEN}")
        counts = (
            "SELECT category, count(*) FROM kept SEMI JOIN chosen ON kept.rowid = place GROUP BY category"
        )
        return lambda: dict(connection.execute(counts).fetchall())

    return work


def whole_job(input: str, folder: str) -> Callable[[], Any]:
    return _whole_job(_lines(input), output_paths(folder), "FORMAT json")


def whole_job_to_parquet(input: str, folder: str) -> Callable[[], Any]:
    paths = [str(Path(path).with_suffix(".parquet")) for path in output_paths(folder)]
    how = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    return _whole_job(f"read_parquet({_quoted(input)})", paths, how)


def _whole_job(source: str, paths: Sequence[str], how: str) -> Callable[[], Any]:
    connection = _connect()

    def work() -> None:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE kept AS SELECT DISTINCT ON (text) text, category, "
            f"hash(text, {SEED}) AS order_hash FROM (SELECT {TEXT} AS text, category FROM {source})"
        )
        connection.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS {CHOSEN}")
        for join, path in zip(("ANTI", "SEMI"), paths, strict=True):
            rows = f"SELECT text, category FROM kept {join} JOIN chosen ON kept.rowid = place"
            connection.execute(f"COPY ({rows}) TO {_quoted(path)} ({how})")

    return work
