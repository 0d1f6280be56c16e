"""What kinds of lists and texts people write: what conventions.yaml calls `kinds`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from forge_gpu.records.keys import first_key, turn_keys, two_keys

_TRANSCRIPT = re.compile(r"\s*(Human|User|System):.*?\n\n(Assistant|Human|User):", re.DOTALL)


_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,8})?")


def is_transcript(text: str) -> bool:
    """Whether a text is a conversation whose turns begin with a blank line and a speaker's name."""
    return _TRANSCRIPT.match(text) is not None


def kind_of_list(value: list[Any]) -> str | None:
    """pairs, texts, numbers, booleans, calls, segments, contents, spans, choices, scored, turns or exchanges;
    None for none of these. value: not empty."""
    return next((kind for kind, test in _LISTS.items() if all(map(test, value))), None)


def kind_of_object(value: dict[str, Any]) -> str:
    """tree, spans, option (choices with their labels), languages, or object."""
    if isinstance(value.get("replies"), list) and "text" in value:
        return "tree"
    if isinstance(value.get("text"), list):
        return "option" if "label" in value else "spans"
    is_language = len(value) > 1 and all(_LANGUAGE.fullmatch(key) for key in value)
    return "languages" if is_language and all(map(_is_text, value.values())) else "object"


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value and bool({"arguments", "parameters"} & value.keys())


def _is_segment(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("label"), bool) and "text" in value


def _is_content(value: Any) -> bool:
    return isinstance(value, dict) and "parts" in value


def _is_turn(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    who, said = two_keys("who", "said", tuple(value))
    return (
        who is not None and said is not None and isinstance(value[who], str) and isinstance(value[said], str)
    )


def _is_exchange(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    asked, answered = two_keys("asked", "answered", tuple(value))
    return asked is not None and answered is not None


def _is_scored(value: Any) -> bool:
    return isinstance(value, dict) and first_key(value, turn_keys("scored")) is not None


def _is_choice(value: Any) -> bool:
    return isinstance(value, dict) and "text" in value and "label" in value


def _is_span(value: Any) -> bool:
    return isinstance(value, dict) and "text" in value and "answer_start" in value


_LISTS: dict[str, Callable[[Any], bool]] = {
    "pairs": _is_pair,
    "texts": _is_text,
    "numbers": _is_number,
    "booleans": _is_boolean,
    "calls": _is_call,
    "segments": _is_segment,
    "contents": _is_content,
    "spans": _is_span,
    "choices": _is_choice,
    "scored": _is_scored,
    "turns": _is_turn,
    "exchanges": _is_exchange,
}
"""Kind -> whether an element is of it, in the order in which a list is tried for them."""
