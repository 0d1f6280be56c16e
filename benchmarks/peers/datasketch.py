"""datasketch: MinHash in bulk with a fast hash, and its LSH."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import xxhash
from datasketch import MinHash, MinHashLSH

from benchmarks.peers.shingles import contents, shingles
from benchmarks.work import BANDS, PERMUTATIONS, ROWS, THRESHOLD

VERSIONS = {"datasketch": version("datasketch")}


def near_dedup(input: str) -> Callable[[], Any]:
    """A row goes when a kept row is a candidate and their estimated similarity reaches the threshold."""
    texts = contents(input)

    def work() -> Callable[[], Any]:
        index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
        retained: dict[int, MinHash] = {}
        removed: list[int] = []
        tokens = ([shingle.encode() for shingle in shingles(text)] for text in texts)
        made = MinHash.generator(tokens, num_perm=PERMUTATIONS, seed=1, hashfunc=xxhash.xxh32_intdigest)
        for row, signature in enumerate(made):
            if any(signature.jaccard(retained[other]) >= THRESHOLD for other in index.query(signature)):
                removed.append(row)
            else:
                index.insert(row, signature)
                retained[row] = signature
        return lambda: removed

    return work
