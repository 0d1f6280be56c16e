"""Property 3: splits keep the ratio that was asked for, and the distribution of the data."""

from __future__ import annotations

from collections import Counter

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.pipeline import AdvancedSplitter

ENGINE = forge_gpu.open_engine("cpu")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), min_size=60, max_size=400),
    st.sampled_from([0.5, 0.8, 0.9, 0.95]),
    st.integers(0, 2**63 - 1),
)
def test_split_preservation(kinds: list[str], split_ratio: float, seed: int) -> None:
    original = pd.DataFrame({"text": [f"t{n}" for n in range(len(kinds))], "kind": kinds})
    config = forge_gpu.PreprocessingConfig.model_validate(
        {
            "train_split": split_ratio,
            "validation_split": round(1 - split_ratio, 2),
            "seed": seed,
            "split": {"stratify": "kind"},
        }
    )
    train_data, val_data = AdvancedSplitter(config).stratified_split(original)
    total_samples = len(train_data) + len(val_data)
    assert total_samples == len(original)
    assert sorted([*train_data["text"], *val_data["text"]]) == sorted(original["text"])
    actual_train_ratio = len(train_data) / total_samples
    assert abs(actual_train_ratio - split_ratio) < 0.01
    result, whole = Counter(train_data["kind"]), Counter(kinds)
    assert all(abs(result[kind] - split_ratio * count) <= 1 for kind, count in whole.items())
