"""Packs of Megatron-Bridge and Nemotron: `loss_mask` stands at the token from which the next is predicted, so
it is moved left by one within each row, and `seq_start_id` says where rows begin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from forge_gpu.io.sinks.token_columns import IDS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, labels_where, moved_left, moved_right
from forge_gpu.io.sinks.trainer_parquet import Codec, trainer_parquet

MASK, STARTS = "loss_mask", "seq_start_id"


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    lengths, at = rows.lengths
    starts = np.cumsum(lengths, dtype=np.int64) - lengths - np.repeat(rows.at[:-1], np.diff(at))
    mask = moved_left(rows.trained.astype(np.uint8), rows.begins, 0)
    return {IDS: (rows.ids, rows.at), MASK: (mask, rows.at), STARTS: (starts.astype(np.int32), at)}


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    """What stood at the first token of a row is not there: nothing predicts it."""
    (ids, at), (mask, _), (starts, of_lines) = lists[IDS], lists[MASK], lists[STARTS]
    begins = starts + np.repeat(at[:-1], np.diff(of_lines))
    lengths = np.diff(np.append(begins, len(ids))).astype(np.int32)
    trained = moved_right(mask, begins[lengths > 0], 0)
    return TokenRows(ids, labels_where(ids, trained), at, (lengths, of_lines))


FORMAT = trainer_parquet(Codec({IDS: pa.int32(), MASK: pa.uint8(), STARTS: pa.int32()}, _encode, _decode))
