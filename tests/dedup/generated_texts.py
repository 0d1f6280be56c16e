"""Texts with known near-duplicates: documents of random words, and edited copies of them."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import PADDING, Text


def column(texts: list[str]) -> Text:
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *(len(text) for text in encoded)]).astype(np.int64)
    return Text(np.frombuffer(b"".join(encoded) + bytes(PADDING), np.uint8), offsets)


def edited_pairs(seed: int, rates: list[float], pairs: int, words: int = 120) -> list[tuple[float, str, str]]:
    """For each rate so many (rate, document, copy with that share of its characters replaced)."""
    random = np.random.default_rng(seed)
    vocabulary = ["".join(map(chr, random.integers(97, 123, random.integers(2, 10)))) for _ in range(4000)]
    result = []
    for rate in rates:
        for _ in range(pairs):
            document = " ".join(vocabulary[i % 4000] for i in random.zipf(1.2, words))
            copy = list(document)
            for place in np.flatnonzero(random.random(len(copy)) < rate):
                copy[place] = chr(int(random.integers(97, 123)))
            result.append((rate, document, "".join(copy)))
    return result


def shingle_set(text: str, n: int = 5) -> set[str]:
    """Character n-grams after lower case and white space, for texts of at least n characters."""
    folded = " ".join(text.lower().split())
    return {folded[i : i + n] for i in range(len(folded) - n + 1)}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
