"""The ledger: one row for every input row, saying what became of it. A function of the decisions alone.

Its columns are declared with the facts (`job/facts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.config.schema import Config
from forge_gpu.fates import Fate, name
from forge_gpu.in_turn import by_threads
from forge_gpu.io.atomic import replacing
from forge_gpu.io.to_arrow import texts_to_arrow
from forge_gpu.job.events.stages import OnProgress, ignore_progress
from forge_gpu.job.facts.columns import Files, LedgerRows
from forge_gpu.job.facts.registry import required_columns
from forge_gpu.job.rows.evaluation import Evaluation
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.index import PART

ROWS_AT_ONCE = 1 << 16

MOST_FILLING = 2
"""Threads that fill row groups: one writes them all, and takes as long."""


def schema_of(config: Config) -> pa.Schema:
    """The columns of the ledger of a plan."""
    return pa.schema(
        [
            pa.field(column.name, column.type, column.nullable)
            for columns in required_columns(config)
            for column in columns.of(config)
        ]
    )


@contextmanager
def ledger_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Takes a ledger's rows, ROWS_AT_ONCE at a time; the file appears whole or not at all."""
    # Row numbers and lines rise by ones: as differences they take almost nothing, and no dictionary.
    rising = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.type == pa.int64()}
    named = [field.name for field in schema if field.name not in rising and field.type != pa.float64()]
    with (
        replacing(path) as partial,
        pq.ParquetWriter(
            partial,
            schema,
            compression="lz4",
            write_page_checksum=True,
            use_dictionary=named,
            column_encoding=rising,
            write_statistics=["file", "row"],  # what a reader looks a row up by; of all they double the time
        ) as writer,
    ):
        yield writer


def open_ledger(path: Path) -> pq.ParquetFile:
    """A ledger whose pages are compared with their checksums as they are read. Raises OSError, ValueError."""
    return pq.ParquetFile(path, page_checksum_verification=True)


def write_ledger(
    path: Path,
    config: Config,
    decisions: Decisions,
    files: Sequence[str],
    rows_of_file: Sequence[int],
    shards_of: Callable[[str, int], list[str]],
    rows_per_shard: int | None,
    evaluation: Evaluation | None = None,
    on_progress: OnProgress = ignore_progress,
    threads: int = 1,
) -> None:
    """Write ledger.parquet in row groups of ROWS_AT_ONCE rows; the file appears whole or not at all.

    shards_of: the names of a split's shards, for so many rows. on_progress: hears how many rows of how many
    are written; it may raise to stop. threads: where there are several, some fill the next row groups while
    the caller's writes one.
    """
    schema, columns = schema_of(config), required_columns(config)
    counts = decisions.file_counts()
    shards: list[str] = []
    first_shard = {}
    for split in SPLITS:
        first_shard[split] = len(shards)
        shards += shards_of(name(split), counts[split])
    starts = np.concatenate([[0], np.cumsum(rows_of_file)]).astype(np.int64)
    with ledger_writer(path, schema) as writer:
        places = Files(files, starts, decisions.record, decisions.facts.get(PART))
        groups = _rows(decisions, places, texts_to_arrow(shards), first_shard, rows_per_shard, evaluation)

        def fill(rows: LedgerRows) -> tuple[int, pa.RecordBatch]:
            arrays = [array for declared in columns for array in declared.fill(rows)]
            return rows.begin, pa.record_batch(arrays, schema=schema)

        for begin, batch in by_threads(fill, groups, min(threads, MOST_FILLING)):
            on_progress(begin, len(decisions.fate))
            writer.write_batch(batch)


def _rows(
    decisions: Decisions,
    files: Files,
    shards: pa.Array,
    first_shard: dict[Fate, int],
    rows_per_shard: int | None,
    evaluation: Evaluation | None,
) -> Iterator[LedgerRows]:
    """All rows, so many at once, with the shard and the line of those in a split."""
    written = dict.fromkeys(SPLITS, 0)
    total = len(decisions.fate)
    for begin in range(0, total, ROWS_AT_ONCE):
        end = min(begin + ROWS_AT_ONCE, total)
        here = slice(begin, end)
        fate = np.asarray(decisions.fate[begin:end])
        shard, line = np.zeros((2, end - begin), np.int64)
        lines = np.broadcast_to(decisions.lines_of(here), end - begin)
        for split in SPLITS:
            chosen = np.flatnonzero(fate == split)
            if decisions.places is not None:
                place = decisions.first_of(decisions.places, here)[chosen, 0].astype(np.int64)
            elif decisions.rank is not None:
                place = decisions.first_of(decisions.rank, here)[chosen]
            else:
                place = written[split] + np.cumsum(lines[chosen]) - lines[chosen]
            written[split] += int(lines[chosen].sum())
            if rows_per_shard is None:
                shard[chosen] = first_shard[split]
                line[chosen] = place + 1
            else:
                shard[chosen] = first_shard[split] + place // rows_per_shard
                line[chosen] = place % rows_per_shard + 1
        yield LedgerRows(decisions, begin, end, files, shards, shard, line, evaluation)
