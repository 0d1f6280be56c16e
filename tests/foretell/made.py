"""Made data of known sizes, and plans for it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from forge_gpu.config.schema import Config

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def row(chance: random.Random, words: int = 30) -> dict[str, str]:
    return {
        "query": " ".join(chance.choices(WORDS, k=chance.randint(3, words))),
        "response": " ".join(chance.choices(WORDS, k=chance.randint(3, 3 * words))),
    }


def write(path: Path, rows: int, seed: int = 0, copies: float = 0.0) -> Path:
    """copies: share of rows that repeat one from anywhere before."""
    chance = random.Random(seed)
    made: list[dict[str, str]] = []
    for _ in range(rows):
        again = made and chance.random() < copies
        made.append(chance.choice(made) if again else row(chance))
    path.write_text("".join(json.dumps(each) + "\n" for each in made))
    return path


def config(path: Path, **output: Any) -> Config:
    return Config.model_validate(
        {
            "data": {"inputs": [str(path)], "mapping": {"query": "query", "response": "response"}},
            "model": {"chat_template": "chatml", "template_kind": "builtin"},
            "output": {"report": False, **output},
        }
    )
