"""rensa: full-set R-MinHash in bulk, and its LSH with a check of the estimate."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from rensa import RMinHash, RMinHashDeduplicator

from benchmarks.peers.shingles import contents, shingles
from benchmarks.work import BANDS, PERMUTATIONS, THRESHOLD

VERSIONS = {"rensa": version("rensa")}


def near_dedup(input: str) -> Callable[[], Any]:
    """Signatures come in batches from one call each; the deduplicator keeps the first of each cluster."""
    texts = contents(input)

    def work() -> Callable[[], Any]:
        keeper = RMinHashDeduplicator(THRESHOLD, PERMUTATIONS, True, num_bands=BANDS, seed=1)
        removed: list[int] = []
        for begin in range(0, len(texts), 1_000):
            tokens = [shingles(text) for text in texts[begin : begin + 1_000]]
            signatures = RMinHash.from_token_sets(tokens, PERMUTATIONS, 1)
            for row, signature in enumerate(signatures, begin):
                if not keeper.add(str(row), signature):
                    removed.append(row)
        return lambda: removed

    return work
