"""Packs of NeMo Automodel: a label stands at the token from which it is predicted, within each row."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from forge_gpu.io.sinks.token_columns import IDS, IGNORED, LABELS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, moved_left, moved_right
from forge_gpu.io.sinks.trainer_parquet import Codec, trainer_parquet

POSITIONS, LENGTHS, PADDED = "position_ids", "seq_lens", "seq_lens_padded"


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    return {
        IDS: (rows.ids, rows.at),
        LABELS: (moved_left(rows.labels, rows.begins, IGNORED), rows.at),
        POSITIONS: (rows.positions, rows.at),
        LENGTHS: rows.lengths,
        PADDED: rows.lengths,
    }


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    """What stood at the first token of a row is not there: nothing predicts it."""
    (ids, at), (labels, _) = lists[IDS], lists[LABELS]
    moved = TokenRows(ids, labels, at, lists[LENGTHS])
    return TokenRows(ids, moved_right(labels, moved.begins, IGNORED), at, lists[LENGTHS])


FORMAT = trainer_parquet(
    Codec(dict.fromkeys((IDS, LABELS, POSITIONS, LENGTHS, PADDED), pa.int32()), _encode, _decode)
)
