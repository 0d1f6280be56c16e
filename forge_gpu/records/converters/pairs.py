"""A better and a worse answer, told otherwise than by two columns of these names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters.turns import text_in, turns_of_transcript
from forge_gpu.records.refused import BadRecord

Taken = Mapping[str, Any]

FIRST = frozenset({"a", "model_a", "response_a", "answer_a", "output_a", "left", "first", "0"})
SECOND = frozenset({"b", "model_b", "response_b", "answer_b", "output_b", "right", "second", "1"})


def winner(taken: Taken, asked: Asked) -> dict[str, Any]:
    """The winner is named by its letter, its column, its text, or its number: from 0, or from 1 where the
    columns are numbered so."""
    one, other = taken["a"], taken["b"]
    if not _first_wins(taken["winner"], one, other, asked.columns):
        one, other = other, one
    return {"chosen": one, "rejected": other, **({"prompt": taken["prompt"]} if "prompt" in taken else {})}


def _first_wins(said: Any, one: Any, other: Any, columns: Mapping[str, str]) -> bool:
    if isinstance(said, str) and said in (one, other) and one != other:
        return bool(said == one)
    is_number = isinstance(said, float | int) and not isinstance(said, bool) and said == int(said)
    name = str(int(said)) if is_number else str(said).strip().lower().replace(" ", "_")
    if name.isdigit() and columns["a"].endswith("1"):
        name = str(int(name) - 1)
    if name in FIRST or name == columns["a"].lower():
        return True
    if name in SECOND or name == columns["b"].lower():
        return False
    raise BadRecord(f"neither answer wins: {str(said)[:40]!r}")


def scored_pair(taken: Taken, asked: Asked) -> dict[str, Any]:
    """The answer with the better score is chosen. Two of one score are no pair."""
    try:
        one, other = float(taken["score_a"]), float(taken["score_b"])
    except (TypeError, ValueError):
        raise BadRecord("a score is not a number") from None
    if one == other or one != one or other != other:
        raise BadRecord("neither answer has the better score")
    better, worse = ("a", "b") if one > other else ("b", "a")
    return {"prompt": taken["prompt"], "chosen": taken[better], "rejected": taken[worse]}


def transcript_pair(taken: Taken, asked: Asked) -> dict[str, Any]:
    return {
        side: turns_of_transcript(text_in(taken[side], f"the {side} transcript"))
        for side in ("chosen", "rejected")
    }
