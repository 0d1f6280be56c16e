"""The ledger: one row for every input row, saying what became of it. A function of the decisions alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.fates import Fate, Reason, name
from forge_gpu.io.atomic import replacing
from forge_gpu.io.columns import numbers_to_arrow, texts_to_arrow
from forge_gpu.io.sinks import shard_names
from forge_gpu.job.decide import SPLITS, Decisions

ROWS_AT_ONCE = 1 << 16

SCHEMA = pa.schema(
    [
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int64()),  # number in the file, from 0; blank lines are not rows
        ("fate", pa.dictionary(pa.int32(), pa.string())),
        ("reason", pa.dictionary(pa.int32(), pa.string())),  # null unless rejected
        ("duplicate_of_file", pa.dictionary(pa.int32(), pa.string())),  # null unless a duplicate
        ("duplicate_of_row", pa.int64()),
        ("shard", pa.dictionary(pa.int32(), pa.string())),  # null unless in a split
        ("line", pa.int64()),  # row within the shard, from 1
    ]
)


def write_ledger(
    path: Path,
    decisions: Decisions,
    files: Sequence[str],
    rows_of_file: Sequence[int],
    suffix: str,
    rows_per_shard: int | None,
) -> None:
    """Write ledger.parquet in row groups of ROWS_AT_ONCE rows; the file appears whole or not at all."""
    counts = decisions.counts()
    shards: list[str] = []
    first_shard = {}
    for split in SPLITS:
        first_shard[split] = len(shards)
        shards += shard_names(name(split), suffix, counts[split], rows_per_shard)
    names = _Names(files, shards)
    starts = np.concatenate([[0], np.cumsum(rows_of_file)]).astype(np.int64)
    # Row numbers and lines rise by ones: as differences they take almost nothing, and no dictionary.
    rising = {
        "row": "DELTA_BINARY_PACKED",
        "duplicate_of_row": "DELTA_BINARY_PACKED",
        "line": "DELTA_BINARY_PACKED",
    }
    named = [field.name for field in SCHEMA if field.name not in rising]
    with (
        replacing(path) as partial,
        pq.ParquetWriter(
            partial, SCHEMA, compression="lz4", use_dictionary=named, column_encoding=rising
        ) as writer,
    ):
        for batch in _batches(decisions, starts, names, first_shard, rows_per_shard):
            writer.write_batch(batch)


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
    starts: npt.NDArray[np.int64],
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
        placed = np.zeros(end - begin, np.bool_)
        for split in SPLITS:
            chosen = fate == split
            if decisions.rank is not None:
                place = np.asarray(decisions.rank[begin:end])[chosen]
            else:
                place = written[split] + np.arange(np.count_nonzero(chosen), dtype=np.int64)
            written[split] += len(place)
            placed |= chosen
            per_shard = rows_per_shard or max(total, 1)
            shard[chosen] = first_shard[split] + place // per_shard
            position[chosen] = place % per_shard + 1
        file = np.searchsorted(starts, np.arange(begin, end), side="right") - 1
        survivor = np.asarray(decisions.duplicate_of[begin:end])
        unique = survivor < 0
        survivor_file = np.searchsorted(starts, survivor, side="right") - 1
        reason = np.asarray(decisions.reason[begin:end])
        yield pa.record_batch(
            [
                _named(file, names.files, None),
                numbers_to_arrow(np.arange(begin, end) - starts[file], pa.int64()),
                _named(fate, names.fates, None),
                _named(names.reason_index[reason], names.reasons, reason == 0),
                _named(survivor_file, names.files, unique),
                numbers_to_arrow(survivor - starts[np.maximum(survivor_file, 0)], pa.int64(), unique),
                _named(shard, names.shards, ~placed),
                numbers_to_arrow(position, pa.int64(), ~placed),
            ],
            schema=SCHEMA,
        )


def _named(
    codes: npt.NDArray[np.generic], names: pa.Array, absent: npt.NDArray[np.bool_] | None
) -> pa.DictionaryArray:
    indices = numbers_to_arrow(codes.astype(np.int32), pa.int32(), absent)
    return pa.DictionaryArray.from_arrays(indices, names)
