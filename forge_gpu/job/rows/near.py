"""Near-duplicates in the first pass: band hashes, and what chooses a survivor, into the index."""

from __future__ import annotations

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.config.schema import Near as NearSettings
from forge_gpu.dedup.near import NearDuplicates
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.job.rows.compared import ComparedText
from forge_gpu.job.rows.rows import Rows, kept_by
from forge_gpu.job.state.index import F64, ChunkIndex
from forge_gpu.kernels.layout import Text

KEY = "preprocessing.dedup.near"


def settings_of(near: NearSettings, seed: int) -> NearDuplicates:
    """What a near-duplicate is, by the plan."""
    shingling = Shingling(near.unit, near.size, near.case, near.white_space, near.punctuation)
    return NearDuplicates(near.threshold, near.permutations, seed, shingling)


class NearIndexer:
    """Adds to the index of a chunk what the search for near-duplicates needs. Belongs to one thread."""

    def __init__(self, near: NearSettings, seed: int) -> None:
        self.settings = settings_of(near, seed)
        self.text = ComparedText(near.roles, f"{KEY}.roles")
        self._score = kept_by(near)

    @classmethod
    def of(cls, config: Config) -> NearIndexer | None:
        """None where the plan does not look for near-duplicates."""
        near = config.preprocessing.dedup.near
        return None if near is None else cls(near, config.preprocessing.seed)

    def index(self, part: ChunkIndex, rows: Rows) -> None:
        """Fill in `bands`, `text_bytes` and `score`."""
        good = np.flatnonzero(part.reason == 0)
        text = self.text.of(rows, good)
        part.bands = np.zeros((self.settings.bands.count, part.rows), np.uint64)
        part.bands[:, good] = self.settings.band_hashes(text).T
        part.text_bytes = np.zeros(part.rows, np.int64)
        part.text_bytes[good] = np.diff(text.offsets)
        if self._score is not None:
            part.score = numbers_of(rows.engine.text(rows.records.columns[self._score]))


def numbers_of(text: Text) -> F64:
    """Each text as a number: float64[n]; NaN where it is none."""
    numbers = np.full(len(text), np.nan)
    for row in np.flatnonzero(np.diff(text.offsets)).tolist():
        try:
            numbers[row] = float(text.row(row))
        except ValueError:
            continue
    return numbers
