"""Rows with known near-duplicates, and the truth about them by brute force."""

from __future__ import annotations

import random
import string
from itertools import combinations
from typing import Any


def text(chance: random.Random, words: int = 60) -> str:
    return " ".join(
        "".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(words)
    )


def edited(original: str, chance: random.Random, edits: int) -> str:
    """A copy with so many of its characters replaced."""
    copy = list(original)
    for place in chance.sample(range(len(copy)), edits):
        copy[place] = chance.choice(string.ascii_lowercase)
    return "".join(copy)


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Alpaca-like rows: a third are edited copies of earlier ones, hardly or much; some are equal."""
    chance = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(count):
        kind = chance.random() if number > 3 else 1.0
        row = {
            "instruction": text(chance, 20),
            "input": "",
            "output": text(chance),
            "user": f"user {chance.randint(0, count // 4)}",
            "score": chance.randint(0, 9),
            "category": chance.choice("ab"),
        }
        if kind < 0.33:
            earlier = chance.choice(made)
            row["instruction"] = earlier["instruction"]
            row["output"] = edited(earlier["output"], chance, chance.randint(1, 25))
        elif kind < 0.4:
            row = dict(chance.choice(made))
        made.append(row)
    return made


def shingles(row: dict[str, Any]) -> set[str]:
    """Character 5-grams of query and response, after lower case and white space."""
    contents = [row["instruction"] + ("\n" + row["input"] if row["input"] else ""), row["output"]]
    folded = " ".join("\n".join(contents).lower().split())
    return {folded[i : i + 5] for i in range(len(folded) - 4)}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def pairs(made: list[dict[str, Any]], threshold: float = 0.8) -> dict[tuple[int, int], float]:
    """Every pair of rows at least so similar."""
    sets = [shingles(row) for row in made]
    result = {}
    for a, b in combinations(range(len(made)), 2):
        similarity = jaccard(sets[a], sets[b])
        if similarity >= threshold:
            result[a, b] = similarity
    return result


def components(count: int, result: dict[tuple[int, int], float]) -> list[int]:
    """The smallest row of each row's component."""
    label = list(range(count))
    for a, b in result:
        one, other = sorted((label[a], label[b]))
        label = [one if value == other else value for value in label]
    return label
