"""datatrove: its three MinHash steps, run locally one after the other.

Its shingles are words unless told otherwise; a tokenizer of characters makes them what the others take.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer

from benchmarks.peers.shingles import contents
from benchmarks.work import BANDS, ROWS, SHINGLE

VERSIONS = {"datatrove": version("datatrove")}


class Characters(WordTokenizer):
    def word_tokenize(self, text: str) -> list[str]:
        return list(text)

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def near_dedup(input: str) -> Callable[[], Any]:
    texts = contents(input)
    config = MinhashConfig(
        n_grams=SHINGLE,
        num_buckets=BANDS,
        hashes_per_bucket=ROWS,
        norm_config=TextNormConfig(False, False, False, False, False),
        hash_config=HashConfig(precision=64, hash_fc="xxhash"),
    )

    def documents(data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for row, text in enumerate(texts):
            yield Document(text=text, id=str(row))

    def work() -> Callable[[], Any]:
        with tempfile.TemporaryDirectory() as folder:
            steps: list[list[Any]] = [
                [documents, MinhashDedupSignature(f"{folder}/signatures", config, language=Characters())],
                [MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)],
                [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/removed", config=config)],
            ]
            for number, pipeline in enumerate(steps):
                tasks = BANDS if number == 1 else 1
                LocalPipelineExecutor(
                    pipeline, tasks=tasks, workers=1, logging_dir=f"{folder}/log{number}"
                ).run()
            result = Path(folder, "removed", "000000.remove")
            removed = np.fromfile(result, "<u4").tolist() if result.exists() else []
        return lambda: removed

    return work
