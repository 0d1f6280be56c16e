"""Questions whose answer is one of several choices, or stands in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import add
from string import ascii_uppercase
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters.turns import text_in
from forge_gpu.records.keys import first_key
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import json_text

Taken = Mapping[str, Any]
_LETTERS = list(ascii_uppercase)
_BEGINNINGS = [f"{letter}. " for letter in ascii_uppercase]
_LETTER = re.compile(r"\(?([A-Za-z])\)?[.):]?")


def multiple_choice(taken: Taken, asked: Asked) -> dict[str, Any]:
    """The choices follow the question, a letter each; the answer is the letter and text of the right one."""
    labels, texts = _choices(taken)
    place = _right(_from_zero(taken["answer"], asked.columns), labels, texts)
    lines = list(map(add, _BEGINNINGS, texts))
    query = "\n".join((text_in(taken["question"], "the question"), *lines))
    return _context(taken) | {"query": query, "response": lines[place]}


def _from_zero(answer: Any, columns: Mapping[str, str]) -> Any:
    """The number of a choice: of columns `option1`, `option2` it is that of the column."""
    if "a" not in columns:
        return answer
    if not columns["a"].lower().endswith("option1") or not str(answer).strip().isdigit():
        return answer
    number = int(answer) - 1
    if number < 0:
        raise BadRecord(f"the answer {answer!r} names none of the choices: they are numbered from 1")
    return number


def _choices(taken: Taken) -> tuple[list[str], list[str]]:
    """What the choices are called, and their texts."""
    if "choices" not in taken:
        named = [(name.upper(), taken[name]) for name in "abcde" if taken.get(name) not in (None, "")]
        return [name for name, _ in named], [text_in(text, f"choice {name}") for name, text in named]
    choices = json_text(taken["choices"])
    if isinstance(choices, dict) and isinstance(choices.get("text"), list):
        texts = choices["text"]
        labels = choices.get("label", list(ascii_uppercase[: len(texts)]))
    elif isinstance(choices, dict):
        labels, texts = list(choices), list(choices.values())
    elif isinstance(choices, list) and set(map(type, choices)) == {str}:
        labels, texts = _LETTERS[: len(choices)], choices  # as most are
    elif isinstance(choices, list):
        texts = [each.get("text") if isinstance(each, dict) else each for each in choices]
        labels = [
            each.get("label", letter) if isinstance(each, dict) else letter
            for each, letter in zip(choices, ascii_uppercase, strict=False)
        ]
    else:
        raise BadRecord("the choices are not a list")
    if not 1 < len(texts) <= 26 or len(labels) != len(texts):
        raise BadRecord(f"there are {len(texts)} choices: from 2 to 26 can be told apart by letters")
    if texts is choices:
        return labels, texts
    return list(map(str, labels)), [text_in(text, "a choice") for text in texts]


def _right(answer: Any, labels: list[str], texts: list[str]) -> int:
    """The place of the right choice: its number from 0, its label or letter, or its whole text."""
    if isinstance(answer, bool) or answer is None:
        raise BadRecord("the answer names no choice")
    said = str(answer).strip()
    if said in labels:
        return labels.index(said)
    if said in texts:
        return texts.index(said)
    if said.isdigit() and int(said) < len(texts):
        return int(said)
    letter = _LETTER.fullmatch(said)
    if letter and letter[1].upper() in ascii_uppercase[: len(texts)]:
        return ascii_uppercase.index(letter[1].upper())
    raise BadRecord(f"the answer {said[:40]!r} names none of the {len(texts)} choices")


def squad(taken: Taken, asked: Asked) -> dict[str, Any]:
    """The context is the input; the answer is the first one given."""
    given = json_text(taken["answers"])
    texts = given.get("text") if isinstance(given, dict) else given
    if isinstance(texts, list):
        if not texts:
            raise BadRecord("the question has no answer")
        first = texts[0]
        key = first_key(first, ("text", "answer")) if isinstance(first, dict) else None
        texts = first if key is None else first[key]
    question = text_in(taken["question"], "the question")
    return {**_context(taken), "query": question, "response": text_in(texts, "the answer")}


def _context(taken: Taken) -> dict[str, Any]:
    context = taken.get("context")
    return {"input": text_in(context, "the context")} if context else {}
