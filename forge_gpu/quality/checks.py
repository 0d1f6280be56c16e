"""The quality checks of texts: which rows are rejected before dedup, and which are only counted.

A row has one text a field: query, response, input, system, chosen, rejected or text. A check looks at every
field it is about, and a row fails it when one of them does:

empty                  a field other than input and system that is blank, null or absent
too_short              a response, chosen, rejected or text of fewer than `min_characters` characters
too_long               an estimated length of more than `max_length` tokens (see CHARACTERS_A_TOKEN)
mojibake               any field with UTF-8 that was once read as Windows-1252 or Latin-1
replacement_character  any field with U+FFFD
control_character      any field with a control character but tab, line feed and carriage return
repetition             any field with more than `max_repetition` of its 8-byte windows like an earlier one
language               an answer that is surely in none of `languages`
secrets, personal_data any field that holds some
gopher, c4             an answer that fails one of their rules

The exact rules are in kernels/reference/statistics.py, in quality/patterns.yaml and in quality/filters.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Checks
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import I64, U8, Spans, Text
from forge_gpu.kernels.reference.statistics import BLANK, CONTROL, MOJIBAKE, REPEATS, REPLACED
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen

Bools = npt.NDArray[np.bool_]

MAY_BE_EMPTY = frozenset({"input", "system"})
ANSWERS = frozenset({"response", "chosen", "rejected", "text"})

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English; Chinese has nearer to one. So a length in tokens is an estimate: it can warn
of a row, never reject it."""

REASONS = {
    "empty": Reason.EMPTY_FIELD,
    "too_short": Reason.TOO_SHORT,
    "too_long": Reason.TOO_LONG,
    "mojibake": Reason.MOJIBAKE,
    "replacement_character": Reason.REPLACEMENT_CHARACTER,
    "control_character": Reason.CONTROL_CHARACTER,
    "repetition": Reason.REPETITION,
    "secrets": Reason.SECRETS,
    "personal_data": Reason.PERSONAL_DATA,
    "language": Reason.LANGUAGE,
    "gopher": Reason.GOPHER,
    "c4": Reason.C4,
}
"""Check -> reason, in the order in which a row that fails several of them gets its reason."""

BY_RULE = ("secrets", "personal_data", "gopher", "c4")
"""The checks that `rules.RULES` has."""
FOUND = {
    "mojibake": MOJIBAKE,
    "replacement_character": REPLACED,
    "control_character": CONTROL,
    "repetition": REPEATS,
}
"""Check -> the bit of what an engine finds in a text that fails it."""
OF_ANSWERS = frozenset({"gopher", "c4"})
"""The checks of these that are about answers alone."""


@frozen
class Checked:
    """What the checks say of n rows.

    reason: uint8[n], the `fates.Reason` of the first check that rejects the row, in the order of REASONS;
    0 where none does. warned: for each check that warns, bool[n]: rows that fail it, of those not rejected.
    characters: int64[n], of a row's contents: all that is asked, and the longest answer; None without checks.
    rules: check -> rule or kind -> bool[n], of the checks that have several.
    """

    reason: U8
    warned: dict[Reason, Bools]
    characters: I64 | None = None
    rules: dict[str, dict[str, Bools]] = field(default_factory=dict)


def check(
    texts: Mapping[str, Spans],
    settings: Checks,
    max_length: int | None,
    engine: Engine,
    scratch: Scratch | None = None,
    beside: I64 | int = 0,
) -> Checked:
    """Run the checks that are not off over one chunk.

    texts: field -> n values; at least one field. max_length: tokens; None: no length is too long. scratch: of
    the rules, to be kept from chunk to chunk. beside: int64[n], tokens of a row that its texts do not have.
    """
    n = len(next(iter(texts.values())))
    reason = np.zeros(n, np.uint8)
    actions = {name: getattr(settings, name) for name in REASONS}
    required = checks_made(settings, max_length)
    if not required:
        return Checked(reason, {})
    rules: dict[str, dict[str, Bools]] = {name: {} for name in BY_RULE if name in required}
    failed, characters = _failed(texts, settings, engine, rules, scratch or Scratch())
    if max_length is not None:
        failed["too_long"] = characters > CHARACTERS_A_TOKEN * (max_length - beside)
    for name in required:
        if actions[name] == "reject":
            reason[(reason == 0) & failed[name]] = REASONS[name]
    accepted = reason == 0
    warned = {REASONS[name]: failed[name] & accepted for name in required if actions[name] == "warn"}
    return Checked(reason, warned, characters, rules)


def checks_made(settings: Checks, max_length: int | None) -> list[str]:
    """The checks that are not off, and that have something to hold a text against."""
    return [
        name
        for name in REASONS
        if getattr(settings, name) != "off" and not (name == "too_long" and max_length is None)
    ]


def _failed(
    texts: Mapping[str, Spans],
    settings: Checks,
    engine: Engine,
    rules: dict[str, dict[str, Bools]],
    scratch: Scratch,
) -> tuple[dict[str, Bools], I64]:
    """Check -> bool[n]: rows that fail it; and the characters of each row's contents. rules: the checks of
    BY_RULE that are made, which are filled."""
    n = len(next(iter(texts.values())))
    failed = {name: np.zeros(n, np.bool_) for name in REASONS}
    prompt, answer = np.zeros(n, np.int64), np.zeros(n, np.int64)
    limit = None if settings.repetition == "off" else settings.max_repetition
    for name, spans in texts.items():
        # The engine reuses its buffers: nothing that it gives may be kept beyond this turn.
        if rules or settings.language != "off":
            text = engine.text(spans)
            _apply_rules(name, text, rules, scratch)
            if settings.language != "off" and name in ANSWERS:
                from forge_gpu.quality.language import detector

                failed["language"] |= detector().others(text, settings.languages)
        characters, found = engine.judge(spans, limit)
        if name not in MAY_BE_EMPTY:
            failed["empty"] |= found & BLANK != 0
        if name in ANSWERS:
            failed["too_short"] |= characters < settings.min_characters
            np.maximum(answer, characters, out=answer)
        else:
            prompt += characters
        for check, bit in FOUND.items():
            failed[check] |= found & bit != 0
    for check, by_rule in rules.items():
        for rows in by_rule.values():
            failed[check] |= rows
    return failed, prompt + answer


def _apply_rules(field: str, text: Text, rules: dict[str, dict[str, Bools]], scratch: Scratch) -> None:
    """Add the rows of which this field fails a rule."""
    from forge_gpu.quality.rules import RULES

    for check, by_rule in rules.items():
        if field in ANSWERS or check not in OF_ANSWERS:
            for rule, rows in RULES[check](text, scratch).items():
                by_rule[rule] = by_rule[rule] | rows if rule in by_rule else rows
