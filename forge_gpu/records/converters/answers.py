"""Several answers to one question: a row each, the best alone, or pairs of a better and a worse one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters.turns import list_in, text_in
from forge_gpu.records.keys import first_key, turn_keys
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import json_text

Taken = Mapping[str, Any]
Rows = list[dict[str, Any]]

TEXTS = ("text", "answer", "response", "output", "completion", "content", "generated_text")


def answers(taken: Taken, asked: Asked) -> Rows:
    """asked.answers: `each` answer a row; the `best` by its score; or `pairs` of neighbours by score."""
    given = list_in(taken["answers"], "the list of answers")
    texts = [_text(answer, number) for number, answer in enumerate(given, 1)]
    query = {"query": taken["query"], **({"input": taken["input"]} if taken.get("input") else {})}
    if asked.answers == "each":
        return [{**query, "response": text} for text in texts]
    ranked = [text for _, text in sorted(_scored(taken, given, texts), key=lambda pair: -pair[0])]
    if asked.answers == "best":
        return [{**query, "response": ranked[0]}]
    scores = sorted((score for score, _ in _scored(taken, given, texts)), reverse=True)
    pairs = [
        {**query, "chosen": ranked[place], "rejected": ranked[place + 1]}
        for place in range(len(ranked) - 1)
        if scores[place] > scores[place + 1]
    ]
    if not pairs:
        raise BadRecord("no answer has a better score than another")
    return pairs


def _text(answer: Any, number: int) -> str:
    if isinstance(answer, dict):
        key = first_key(answer, TEXTS)
        answer = answer[key] if key is not None else None
    return text_in(answer, "answer {}", number)


def _scored(taken: Taken, given: list[Any], texts: list[str]) -> list[tuple[float, str]]:
    scores = json_text(taken.get("scores"))
    if scores is None:
        scores = list(map(_own_score, given))
    if not isinstance(scores, list) or len(scores) != len(texts):
        raise BadRecord(f"there is not one score for each of the {len(texts)} answers")
    if not all(isinstance(score, int | float) for score in scores):
        raise BadRecord("a score is not a number")
    return list(zip(map(float, scores), texts, strict=True))


def _own_score(answer: Any) -> Any:
    """The score that stands in an answer; None where there is none. A rank is the better the lower it is."""
    key = first_key(answer, turn_keys("scored")) if isinstance(answer, dict) else None
    score = None if key is None else answer[key]
    return -score if key == "rank" and isinstance(score, int | float) else score


def instances(taken: Taken, asked: Asked) -> Rows:
    """Self-instruct: an instruction, and a row for each of its inputs."""
    rows = []
    for number, instance in enumerate(list_in(taken["instances"], "the list of instances"), 1):
        if not isinstance(instance, dict):
            raise BadRecord(f"instance {number} is not an object")
        key = first_key(instance, turn_keys("answered"))
        if key is None:
            raise BadRecord(f"instance {number} has no output")
        row = {"query": taken["query"], "response": text_in(instance[key], "output {}", number)}
        if instance.get("input"):
            row["input"] = text_in(instance["input"], "input {}", number)
        rows.append(row)
    return rows if asked.answers == "each" else rows[:1]


def steps(taken: Taken, asked: Asked) -> dict[str, Any]:
    """A solution is its steps, up to the first that is labelled wrong."""
    texts = [text_in(step, "a step") for step in list_in(taken["steps"], "the list of steps")]
    labels = json_text(taken.get("labels"))
    if labels is not None:
        if not isinstance(labels, list) or len(labels) != len(texts):
            raise BadRecord(f"there is not one label for each of the {len(texts)} steps")
        wrong = next((place for place, label in enumerate(labels) if not label or label == -1), len(labels))
        texts = texts[:wrong]
    if not texts:
        raise BadRecord("the first step is labelled wrong")
    return {"query": taken["query"], "response": "\n".join(texts)}
