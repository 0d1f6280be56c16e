"""Tokenized data of Together's fine-tuning: a mask of what is read, and labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from forge_gpu.io.sinks.token_columns import ATTENTION, IDS, LABELS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, one_row_a_line
from forge_gpu.io.sinks.trainer_parquet import Codec, trainer_parquet


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    attention = np.ones(len(rows.ids), np.int32)
    return {IDS: (rows.ids, rows.at), ATTENTION: (attention, rows.at), LABELS: (rows.labels, rows.at)}


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    (ids, at), (labels, _) = lists[IDS], lists[LABELS]
    return TokenRows(ids, labels, at, one_row_a_line(at))


FORMAT = trainer_parquet(Codec(dict.fromkeys((IDS, ATTENTION, LABELS), pa.int32()), _encode, _decode))
