"""Data-Juicer: both steps of its operator on a data set in memory, as its own tests call them.

Its executor calls them too, but ends an operator by emptying torch's cache, and installs torch to do so.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
from datasets import Dataset

from benchmarks.peers.shingles import contents
from benchmarks.work import BANDS, PERMUTATIONS, ROWS, SHINGLE, THRESHOLD

VERSIONS = {"py-data-juicer": version("py-data-juicer")}


def near_dedup(input: str) -> Callable[[], Any]:
    """Rows that agree in a band are near-duplicates; their signatures are not compared."""
    texts = contents(input)
    rows = Dataset.from_dict({"row": range(len(texts)), "text": texts})
    operator = DocumentMinhashDeduplicator(
        tokenization="character",
        window_size=SHINGLE,
        lowercase=False,
        num_permutations=PERMUTATIONS,
        jaccard_threshold=THRESHOLD,
        num_bands=BANDS,
        num_rows_per_band=ROWS,
    )

    def work() -> Callable[[], Any]:
        kept, _ = operator.process(rows.map(operator.compute_hash))
        return lambda: sorted(set(range(len(texts))) - set(kept["row"]))

    return work
