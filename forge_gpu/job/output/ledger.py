"""The ledger: one row for every input row, saying what became of it. A function of the decisions alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.fates import Fate, Reason, name
from forge_gpu.io.atomic import replacing
from forge_gpu.io.to_arrow import numbers_to_arrow, texts_to_arrow
from forge_gpu.job.rows.evaluation import RULES, Evaluation
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.kernels.layout import I64

ROWS_AT_ONCE = 1 << 16

SCHEMA = pa.schema(
    [
        pa.field("file", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row", pa.int64(), nullable=False),  # number in the file, from 0; blank lines are not rows
        pa.field("fate", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        ("reason", pa.dictionary(pa.int32(), pa.string())),  # null unless rejected
        ("duplicate_of_file", pa.dictionary(pa.int32(), pa.string())),  # null unless a duplicate
        ("duplicate_of_row", pa.int64()),
        ("shard", pa.dictionary(pa.int32(), pa.string())),  # null unless in a split
        ("line", pa.int64()),  # row within the shard, from 1
    ]
)

CLUSTERS = pa.schema(
    [
        ("cluster_file", pa.dictionary(pa.int32(), pa.string())),  # the smallest row of the cluster
        ("cluster_row", pa.int64()),
        ("similar_file", pa.dictionary(pa.int32(), pa.string())),  # the row it is most similar to
        ("similar_row", pa.int64()),
    ]
)
"""Columns of a job that looks for near-duplicates; null for rows that have none."""

MATCHES = pa.schema(
    [
        ("matched_file", pa.dictionary(pa.int32(), pa.string())),  # the evaluation row
        ("matched_row", pa.int64()),
        ("matched_by", pa.dictionary(pa.int32(), pa.string())),  # the rule
    ]
)
"""Columns of a job with evaluation files; null for rows that match none."""

SIMILARITY = pa.schema([("similarity", pa.float64())])
"""The exact Jaccard similarity to the similar row, or to the matched one; null where neither was measured."""


def schema_of(decisions: Decisions) -> pa.Schema:
    """The columns of the ledger of a job."""
    columns = list(SCHEMA)
    if decisions.cluster is not None:
        columns += list(CLUSTERS)
    if decisions.matched is not None:
        columns += list(MATCHES)
    return pa.schema(columns + list(SIMILARITY) if len(columns) > len(SCHEMA) else columns)


def write_ledger(
    path: Path,
    decisions: Decisions,
    files: Sequence[str],
    rows_of_file: Sequence[int],
    shards_of: Callable[[str, int], list[str]],
    rows_per_shard: int | None,
    evaluation: Evaluation | None = None,
) -> None:
    """Write ledger.parquet in row groups of ROWS_AT_ONCE rows; the file appears whole or not at all.

    shards_of: the names of a split's shards, for so many rows.
    """
    schema = schema_of(decisions)
    counts = decisions.counts()
    shards: list[str] = []
    first_shard = {}
    for split in SPLITS:
        first_shard[split] = len(shards)
        shards += shards_of(name(split), counts[split])
    names = _Names(files, shards)
    starts = np.concatenate([[0], np.cumsum(rows_of_file)]).astype(np.int64)
    # Row numbers and lines rise by ones: as differences they take almost nothing, and no dictionary.
    rising = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.type == pa.int64()}
    named = [field.name for field in schema if field.name not in rising and field.type != pa.float64()]
    with (
        replacing(path) as partial,
        pq.ParquetWriter(
            partial,
            schema,
            compression="lz4",
            use_dictionary=named,
            column_encoding=rising,
            write_statistics=["file", "row"],  # what a reader looks a row up by; of all they double the time
        ) as writer,
    ):
        begin = 0
        for batch in _batches(decisions, starts, names, first_shard, rows_per_shard):
            rows = slice(begin, begin + len(batch))
            more = _similar(decisions, rows, starts, names, evaluation)
            writer.write_batch(pa.record_batch([*batch.columns, *more], schema=schema))
            begin = rows.stop


class _Names:
    def __init__(self, files: Sequence[str], shards: Sequence[str]) -> None:
        self.files = texts_to_arrow(files)
        self.shards = texts_to_arrow(shards)
        self.fates = texts_to_arrow([name(fate) for fate in Fate])
        self.reasons = texts_to_arrow([name(reason) for reason in Reason])
        self.reason_index = np.zeros(max(Reason) + 1, np.int32)
        self.reason_index[list(Reason)] = np.arange(len(Reason), dtype=np.int32)


def _batches(
    decisions: Decisions,
    starts: I64,
    names: _Names,
    first_shard: dict[Fate, int],
    rows_per_shard: int | None,
) -> Iterator[pa.RecordBatch]:
    written = dict.fromkeys(SPLITS, 0)
    total = len(decisions.fate)
    for begin in range(0, total, ROWS_AT_ONCE):
        end = min(begin + ROWS_AT_ONCE, total)
        fate = np.asarray(decisions.fate[begin:end])
        position = np.zeros(end - begin, np.int64)
        shard = np.zeros(end - begin, np.int32)
        for split in SPLITS:
            chosen = np.flatnonzero(fate == split)
            if decisions.rank is not None:
                place = np.asarray(decisions.rank[begin:end])[chosen]
            else:
                place = np.arange(written[split], written[split] + len(chosen))
            written[split] += len(chosen)
            if rows_per_shard is None:
                shard[chosen] = first_shard[split]
                position[chosen] = place + 1
            else:
                shard[chosen] = first_shard[split] + place // rows_per_shard
                position[chosen] = place % rows_per_shard + 1
        unplaced = fate > Fate.TEST  # SPLITS are the first fates
        file = _files_of(begin, end, starts)
        duplicate_of = np.asarray(decisions.duplicate_of[begin:end])
        unique = duplicate_of < 0
        duplicates = np.flatnonzero(~unique)
        survivor, survivor_file = np.zeros((2, end - begin), np.int64)
        survivor_file[duplicates] = np.searchsorted(starts, duplicate_of[duplicates], side="right") - 1
        survivor[duplicates] = duplicate_of[duplicates] - starts[survivor_file[duplicates]]
        reason = np.asarray(decisions.reason[begin:end])
        yield pa.record_batch(
            [
                _named(file, names.files, None),
                numbers_to_arrow(np.arange(begin, end) - starts[file], pa.int64()),
                _named(fate, names.fates, None),
                _named(names.reason_index[reason], names.reasons, reason == 0),
                _named(survivor_file, names.files, unique),
                numbers_to_arrow(survivor, pa.int64(), unique),
                _named(shard, names.shards, unplaced),
                numbers_to_arrow(position, pa.int64(), unplaced),
            ],
            schema=SCHEMA,
        )


def _files_of(begin: int, end: int, starts: I64) -> I64:
    """The file of each of the rows begin ... end - 1 of a job."""
    first = int(np.searchsorted(starts, begin, side="right")) - 1
    last = int(np.searchsorted(starts, end - 1, side="right"))
    edges = np.clip(starts[first : last + 1], begin, end)
    return np.repeat(np.arange(first, last), edges[1:] - edges[:-1])


def _named(
    codes: npt.NDArray[np.generic], names: pa.Array, absent: npt.NDArray[np.bool_] | None
) -> pa.DictionaryArray:
    indices = numbers_to_arrow(codes.astype(np.int32), pa.int32(), absent)
    return pa.DictionaryArray.from_arrays(indices, names)


def _similar(
    decisions: Decisions,
    rows: slice,
    starts: I64,
    names: _Names,
    evaluation: Evaluation | None,
) -> list[pa.Array]:
    """The columns of CLUSTERS, MATCHES and SIMILARITY that this job has."""
    columns: list[pa.Array] = []
    similarity = np.zeros(rows.stop - rows.start)
    if decisions.cluster is not None and decisions.partner is not None and decisions.similarity is not None:
        for row in (decisions.cluster, decisions.partner):
            columns += _place(np.asarray(row[rows]), starts, names.files)
        similarity = np.asarray(decisions.similarity[rows]).copy()
    if decisions.matched is not None and decisions.matched_similarity is not None:
        assert evaluation is not None
        matched = np.full(len(similarity), -1, np.int64)
        rule = np.zeros(len(similarity), np.int32)
        begin, end = np.searchsorted(decisions.matched[:, 0], (rows.start, rows.stop))
        row, ngram, near = np.asarray(decisions.matched[begin:end]).T
        row = row - rows.start
        # Where both rules hold, the more similar row tells more than the first shared run of words.
        matched[row] = np.where(near >= 0, near, ngram)
        rule[row] = np.where(near >= 0, RULES.index("minhash"), RULES.index("ngram"))
        similarity[row] = np.asarray(decisions.matched_similarity[begin:end])
        columns += _place(matched, evaluation.starts, texts_to_arrow(evaluation.files))
        columns.append(_named(rule, texts_to_arrow(RULES), matched < 0))
    return [*columns, numbers_to_arrow(similarity, pa.float64(), similarity == 0)] if columns else []


def _place(row: I64, starts: I64, files: pa.Array) -> tuple[pa.DictionaryArray, pa.Array]:
    """A row of the job, -1 for none, as its file and its number there."""
    file = np.maximum(np.searchsorted(starts, row, side="right") - 1, 0)
    return _named(file, files, row < 0), numbers_to_arrow(row - starts[file], pa.int64(), row < 0)
