"""What LLaMA-Factory's `tokenized_path` loads: a folder a split, with the columns of its own preparation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from forge_gpu.io.sinks.saved_folder import saved_folder
from forge_gpu.io.sinks.token_columns import ATTENTION, IDS, LABELS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, one_row_a_line
from forge_gpu.io.sinks.trainer_parquet import Codec

MEDIA = ("images", "videos", "audios")
"""Columns that are empty: of texts it has none."""


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    attention = np.ones(len(rows.ids), np.int8)
    return {IDS: (rows.ids, rows.at), ATTENTION: (attention, rows.at), LABELS: (rows.labels, rows.at)}


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    (ids, at), (labels, _) = lists[IDS], lists[LABELS]
    return TokenRows(ids, labels, at, one_row_a_line(at))


TYPES = {IDS: pa.int32(), ATTENTION: pa.int8(), LABELS: pa.int32(), **dict.fromkeys(MEDIA, pa.null())}
FORMAT = saved_folder(Codec(TYPES, _encode, _decode))
