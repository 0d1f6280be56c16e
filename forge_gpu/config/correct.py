"""Small faults that have one meaning are put right, each with a warning. All else is left to be refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from forge_gpu.config import keys
from forge_gpu.config.schema import Checks

ACTIONS = tuple(name for name, field in Checks.model_fields.items() if "off" in keys.words(field.annotation))
SPLITS = ("train_split", "validation_split", "test_split")
WORDS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
PERCENT = re.compile(r"(\d+\.?\d*|\.\d+)\s*%")

Warn = Callable[[keys.Path, str], None]


def correct(values: dict[str, Any], warn: Warn) -> None:
    """Correct one layer (a file, the environment, `--set`) in place; `warn` is told key and change."""
    _values(values, (), warn)
    preprocessing = values.get("preprocessing")
    if isinstance(preprocessing, dict):
        _switch(preprocessing, warn)
        _percentages(preprocessing, warn)


def _values(values: dict[str, Any], path: keys.Path, warn: Warn) -> None:
    for name, value in values.items():
        here = (*path, name)
        annotation = keys.known().get(here)
        if annotation is None:
            continue
        if keys.is_section(annotation):
            if value is None and not keys.is_optional(annotation):
                warn(here, "the empty section is left as its defaults")
                values[name] = {}
            elif isinstance(value, dict):
                _values(value, here, warn)
            continue
        better = _better(value, annotation)
        if here == ("output", "columns") and isinstance(better, list):
            better = _once(better)
        if better is not value:
            warn(here, f"{value!r} taken as {better!r}")
            values[name] = better


def _once(columns: list[Any]) -> list[Any]:
    """A list without repeats: a column can be kept once only."""
    once = [column for place, column in enumerate(columns) if column not in columns[:place]]
    return columns if len(once) == len(columns) else once


def _better(value: Any, annotation: Any) -> Any:
    """The value that was meant, or the very same object."""
    if isinstance(value, str) and value in keys.words(annotation):
        return value
    if isinstance(value, str) and not keys.accepts(annotation, str):
        text = value.strip()
        if text.lower() in keys.words(annotation):
            return text.lower()
        if keys.accepts(annotation, bool) and text.lower() in WORDS:
            return WORDS[text.lower()]
        if keys.accepts(annotation, float) or keys.accepts(annotation, int):
            return _number(text, value, keys.accepts(annotation, float))
        if keys.accepts(annotation, list):
            return [value]
    if value is False and "off" in keys.words(annotation):
        return "off"
    return value


def _number(text: str, value: str, fractions: bool) -> Any:
    if fractions and PERCENT.fullmatch(text):
        return round(float(text.rstrip("% ")) / 100, 12)
    plain = text.replace("_", "")
    if not NUMBER.fullmatch(plain):
        return value
    number = float(plain)
    return int(plain) if re.fullmatch(r"[+-]?\d+", plain) else number


def _switch(preprocessing: dict[str, Any], warn: Warn) -> None:
    """Quality checks that are switched on as a whole, or off."""
    switch = preprocessing.get("quality_checks")
    if isinstance(switch, str):
        switch = WORDS.get(switch.strip().lower())
    if not isinstance(switch, bool):
        return
    preprocessing["quality_checks"] = {} if switch else dict.fromkeys(ACTIONS, "off")
    what = "the checks with their defaults" if switch else "every check off"
    warn(("preprocessing", "quality_checks"), f"{str(switch).lower()} taken as {what}")


def _percentages(preprocessing: dict[str, Any], warn: Warn) -> None:
    """90 and 10 mean 0.9 and 0.1: whole numbers, one of them above 1, are all percentages."""
    given = {name: preprocessing[name] for name in SPLITS if _is_number(preprocessing.get(name))}
    whole = all(float(value).is_integer() and 0 <= value <= 100 for value in given.values())
    if not whole or all(value <= 1 for value in given.values()):
        return
    for name, value in given.items():
        preprocessing[name] = round(value / 100, 12)
        warn(("preprocessing", name), f"{value:g} taken as {preprocessing[name]:g}")


def balance_splits(
    preprocessing: dict[str, Any], named: set[str], defaults: dict[str, float], warn: Warn
) -> None:
    """Let the fraction that nobody named take the rest, so that the three add up to 1.

    named: fractions that the last layer that names any has given. Where all of train and validation
    are named, or the rest would be negative, nothing is changed and the sum is refused later.
    """
    shares = {name: preprocessing.get(name, defaults[name]) for name in SPLITS}
    if not named or not all(_is_number(value) for value in shares.values()):
        return
    if abs(sum(shares.values()) - 1) <= 1e-9:
        return
    free = next((name for name in SPLITS[:2] if name not in named), None)
    if free is None:
        return
    rest = round(1 - sum(value for name, value in shares.items() if name != free), 12)
    if 0 <= rest <= 1:
        preprocessing[free] = rest
        warn(("preprocessing", free), f"{shares[free]:g} taken as {rest:g}, the rest of the other two")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
