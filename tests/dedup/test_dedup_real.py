"""Near-duplicates of real rows, where FORGE_DATA names the folder of the data sets, and the truth itself."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest

from benchmarks.near_duplicates import measured, rows_of, shingle_sets, true_pairs
from forge_gpu.dedup.near import NearDuplicates
from forge_gpu.dedup.shingling import Shingling
from tests.dedup.generated_texts import edited_pairs

SETTINGS = NearDuplicates(shingling=Shingling(case=False, white_space=False))


def test_true_pairs_equal_brute_force():
    texts = [
        text for _, one, other in edited_pairs(3, [0.005, 0.02, 0.05], 8, words=40) for text in (one, other)
    ]
    sets = shingle_sets(texts)
    pairs = {(a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in combinations(range(48), 2)}
    for threshold in (0.5, 0.8):
        expected = {pair: similarity for pair, similarity in pairs.items() if similarity >= threshold}
        assert true_pairs(texts, threshold) == expected and len(expected) > 5


@pytest.mark.skipif("FORGE_DATA" not in os.environ, reason="FORGE_DATA names no folder of data sets")
@pytest.mark.parametrize("name", ["similarity-0.6", "similarity-0.7"])
def test_recall_and_precision_on_real_rows(name):
    file = Path(os.environ["FORGE_DATA"], "gpteacher", f"Toolformer__toolformer-{name}-dataset.json")
    pairs, result, joined, right = measured(rows_of(file), SETTINGS)
    assert pairs > 100 and result >= 0.98 * pairs and right == joined
