"""The memory of fine-tuning beside what others have measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from ruamel.yaml import YAML

from forge_gpu.models.choose import GIB, Method, need
from forge_gpu.models.registry import models

TABLE: dict[str, Any] = YAML(typ="safe", pure=True).load(
    Path(__file__).with_name("published_memory.yaml").read_text("utf-8")
)
WITHIN: dict[Method, float] = {"lora": 0.2, "qlora": 0.25, "full": 0.3}
"""Of what was measured. Trainers differ by more: in what they cast, and what they free."""


def ratios(method: Method) -> dict[tuple[str, int], float]:
    """(model, tokens) -> what is estimated, of what was measured."""
    result = {}
    for row in TABLE["measured"]:
        if row["method"] == method:
            model = replace(models()[0], context=2**17, **TABLE["models"][row["model"]])
            for tokens, gib in zip(TABLE["tokens"], row["gib"], strict=False):
                said = need(model, method, tokens, TABLE["rank"]).total(1) / GIB
                result[row["model"], tokens] = said / gib
    return result


@pytest.mark.parametrize("method", WITHIN)
def test_it_is_near_what_was_measured(method):
    made = ratios(method)
    far = {key: round(ratio, 2) for key, ratio in made.items() if abs(ratio - 1) > WITHIN[method]}
    assert not far and len(made) > 8
    assert abs(median(made.values()) - 1) < 0.2
