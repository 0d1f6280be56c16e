"""SkyRL's rows of tokens: `loss_mask` says which are trained, and there are no labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from forge_gpu.io.sinks.token_columns import IDS
from forge_gpu.io.sinks.token_rows import Lists, TokenRows, labels_where, one_row_a_line
from forge_gpu.io.sinks.trainer_parquet import Codec, trainer_parquet

MASK = "loss_mask"


def _encode(rows: TokenRows) -> Mapping[str, Lists]:
    return {IDS: (rows.ids, rows.at), MASK: (rows.trained.astype(np.int8), rows.at)}


def _decode(lists: Mapping[str, Lists]) -> TokenRows:
    (ids, at), (mask, _) = lists[IDS], lists[MASK]
    return TokenRows(ids, labels_where(ids, mask), at, one_row_a_line(at))


FORMAT = trainer_parquet(Codec({IDS: pa.int32(), MASK: pa.int8()}, _encode, _decode))
