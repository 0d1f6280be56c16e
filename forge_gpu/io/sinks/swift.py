"""What ms-swift's `--cached_dataset` loads: a folder a split, each row with the list of its lengths."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from forge_gpu.io.sinks.saved_folder import saved_folder
from forge_gpu.io.sinks.token_columns import IDS, LABELS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows
from forge_gpu.io.sinks.trainer_parquet import Codec

LENGTHS = "lengths"


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    return {IDS: (rows.ids, rows.at), LABELS: (rows.labels, rows.at), LENGTHS: rows.lengths}


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    (ids, at), (labels, _) = lists[IDS], lists[LABELS]
    return TokenRows(ids, labels, at, lists[LENGTHS])


FORMAT = saved_folder(Codec(dict.fromkeys((IDS, LABELS, LENGTHS), pa.int32()), _encode, _decode))
