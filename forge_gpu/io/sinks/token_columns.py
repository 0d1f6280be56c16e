"""The columns of rows of tokens, by the names that trainers have for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IDS, LABELS, LENGTHS, ATTENTION = "input_ids", "labels", "seq_lengths", "attention_mask"
IGNORED = -100
"""The label of a token that is not trained, as torch's loss ignores it."""


def positions_in(lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The place of each token in its row, from 0: int32[t]. lengths: of rows one behind the other."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    positions: npt.NDArray[np.int32] = (np.arange(total) - np.repeat(ends - lengths, lengths)).astype(
        np.int32
    )
    return positions
