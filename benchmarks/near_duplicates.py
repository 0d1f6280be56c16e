"""How many near-duplicates are found, against brute force: `python -m benchmarks.near_duplicates [FOLDER]`.

Generated documents with edited copies, seeds given; and, where a folder of JSON files with instruction,
input and response is named, the rows of each. The truth is the exact Jaccard similarity of all pairs.
Speed beside peers is the harness's case `near_dedup`.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from forge_gpu.dedup.clusters import Clusters
from forge_gpu.dedup.near import NearDuplicates, find_clusters
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.kernels.layout import I64, PADDING, Text

RATES = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.15)
SEEDS = (1, 2, 3)
COPIES = 100  # of each rate and seed
SIZE = 5  # characters a shingle
BUDGET = 256 * 2**20

Pair = tuple[int, int]


def column(texts: list[str]) -> Text:
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    return Text(np.frombuffer(b"".join(encoded) + bytes(PADDING), np.uint8), offsets)


def find(texts: list[str], settings: NearDuplicates) -> Clusters:
    text = column(texts)
    hashes = np.ascontiguousarray(settings.band_hashes(text).T)

    def read_rows(rows: I64) -> Text:
        return column([texts[row] for row in rows.tolist()])

    live = np.ones(len(texts), bool)
    return find_clusters(
        settings, lambda band: [hashes[band]], live, np.diff(text.offsets), read_rows, BUDGET
    )


def shingle_sets(texts: list[str]) -> list[set[str]]:
    return [{text[i : i + SIZE] for i in range(max(len(text) - SIZE + 1, 1))} for text in texts]


def true_pairs(texts: list[str], threshold: float) -> dict[Pair, float]:
    """All pairs of texts with at least this Jaccard similarity.

    Exact, by prefix filtering (Chaudhuri, Ganti, Kaushik 2006): with shingles ordered from rare to
    frequent, two such sets share one of the first |A| - ⌈threshold·|A|⌉ + 1 shingles of each.
    """
    sets = shingle_sets(texts)
    frequency: defaultdict[str, int] = defaultdict(int)
    for result in sets:
        for shingle in result:
            frequency[shingle] += 1
    prefixes: defaultdict[str, list[int]] = defaultdict(list)
    pairs: dict[Pair, float] = {}
    for row, result in enumerate(sets):
        rare_first = sorted(result, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rare_first[: len(result) - math.ceil(threshold * len(result) - 1e-9) + 1]
        near = {other for shingle in prefix for other in prefixes[shingle]}
        for other in near:
            if min(len(result), len(sets[other])) >= threshold * max(len(result), len(sets[other])):
                shared = len(result & sets[other])
                similarity = shared / (len(result) + len(sets[other]) - shared)
                if similarity >= threshold:
                    pairs[other, row] = similarity
        for shingle in prefix:
            prefixes[shingle].append(row)
    return pairs


def edited(seed: int, rate: float) -> list[str]:
    """COPIES documents of random words, each followed by a copy with this share of characters replaced."""
    random = np.random.default_rng(seed)
    vocabulary = ["".join(map(chr, random.integers(97, 123, random.integers(2, 10)))) for _ in range(5000)]
    texts = []
    for _ in range(COPIES):
        document = " ".join(vocabulary[i % 5000] for i in random.zipf(1.2, random.integers(60, 240)))
        copy = list(document)
        for place in np.flatnonzero(random.random(len(copy)) < rate):
            copy[place] = chr(int(random.integers(97, 123)))
        texts += [document, "".join(copy)]
    return texts


def rows_of(file: Path) -> list[str]:
    """Query and response of each row, once."""
    rows = json.loads(file.read_text())
    return list(dict.fromkeys(f"{row['instruction']}\n{row['input']}\n{row['response']}" for row in rows))


def measured(texts: list[str], settings: NearDuplicates) -> tuple[int, int, int, int]:
    """(true pairs, of them in one cluster, joined rows, of them with a true pair in their cluster)."""
    clusters = find(texts, settings)
    truth = true_pairs(texts, settings.threshold)
    together = [pair for pair in truth if clusters.label[pair[0]] == clusters.label[pair[1]]]
    right = {row for pair in together for row in pair}
    joined = np.flatnonzero(clusters.partner >= 0).tolist()
    for row in joined:
        other = int(clusters.partner[row])
        if truth.get((min(row, other), max(row, other))) != clusters.similarity[row]:
            raise SystemExit(f"rows {row} and {other} do not have the similarity that was found")
    return len(truth), len(together), len(joined), len(right & set(joined))


def samples(folder: Path | None) -> Iterator[tuple[str, list[list[str]]]]:
    for rate in RATES:
        yield f"{rate:.1%} of characters replaced", [edited(seed, rate) for seed in SEEDS]
    for file in sorted(folder.glob("*.json")) if folder else ():
        yield file.stem.replace("__", "/"), [rows_of(file)]


def main(folder: Path | None) -> None:
    settings = NearDuplicates(shingling=Shingling(size=SIZE, case=False, white_space=False))
    print(settings.bands.explain(settings.threshold), end="\n\n")
    print("| texts | rows | pairs ≥ 0.8 | found | recall | precision |\n|---|---|---|---|---|---|")
    for name, parts in samples(folder):
        pairs, result, joined, right = np.sum([measured(texts, settings) for texts in parts], axis=0)
        recall = f"{result / pairs:.4f}" if pairs else "–"
        precision = f"{right / joined:.4f}" if joined else "–"
        print(
            f"| {name} | {sum(map(len, parts)):,} | {pairs:,} | {result:,} | {recall} | {precision} |",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
