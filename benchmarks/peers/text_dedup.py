"""text-dedup: its command `python -m text_dedup.minhash`, from a file of JSON lines to a folder.

Its shingles are words, whatever its options; a file in which each character is a word makes them what the
others take.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import load_from_disk
from text_dedup.minhash import main

from benchmarks.peers.shingles import characters_as_words, contents
from benchmarks.work import BANDS, PERMUTATIONS, ROWS, SHINGLE, THRESHOLD

VERSIONS = {"text-dedup": version("text-dedup")}


def near_dedup(input: str) -> Callable[[], Any]:
    """Rows that agree in a band are near-duplicates; their signatures are not compared."""
    texts = contents(input)
    held = tempfile.TemporaryDirectory(prefix="benchmarks-")
    source = Path(held.name, "rows.jsonl")
    with source.open("w") as lines:
        for row, text in enumerate(texts):
            lines.write(json.dumps({"row": row, "text": characters_as_words(text)}) + "\n")

    def work() -> Callable[[], Any]:
        folder = Path(tempfile.mkdtemp(dir=held.name))
        options = {
            "path": "json",
            "data_files": source,
            "split": "train",
            "cache_dir": folder / "cache",  # a new one, so that every run does all the work
            "output": folder / "kept",
            "column": "text",
            "ngram": SHINGLE,
            "min_length": 1,
            "num_perm": PERMUTATIONS,
            "threshold": THRESHOLD,
            "b": BANDS,
            "r": ROWS,
            "hash_func": "xxh3",
            "num_proc": 1,
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        main(words, standalone_mode=False)

        def removed() -> list[int]:
            # Naming what is held keeps the folder until this was asked.
            kept = load_from_disk(str(Path(held.name, folder.name, "kept")))
            return sorted(set(range(len(texts))) - set(kept["row"]))

        return removed

    return work
