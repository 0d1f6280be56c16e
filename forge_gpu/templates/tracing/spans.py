"""What is trained, in a traced program: marks in its literals, found with one row for all of its path."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise

from forge_gpu.templates.tracing.expressions import (
    Expression,
    Join,
    Lookup,
    Mark,
    Operation,
    Text,
    evaluate,
)
from forge_gpu.templates.turns.spans import Spans

TAKES_AWAY = frozenset(("strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "slice", "piece"))
"""Operations that leave nothing but a part of a content."""

Parts = tuple[Expression, ...]


def with_spans(parts: Sequence[Expression], spans: Spans, lookup: Lookup) -> Parts | None:
    """The parts of a text with a Mark wherever a span of it begins or ends. spans: those of the row that
    `lookup` gives, in characters. None where one begins or ends elsewhere than in a literal, behind a
    character of it: with other contents it might be elsewhere; or where literals and contents are not told
    apart."""
    if not all(_is_told_apart(part) for part in parts):
        return None
    bounds = list(pairwise(accumulate((len(evaluate(part, lookup)) for part in parts), initial=0)))
    cuts: dict[int, list[tuple[int, Mark]]] = {}
    for place, mark in chain.from_iterable(((begin, Mark(True)), (end, Mark(False))) for begin, end in spans):
        number = next((k for k, (low, high) in enumerate(bounds) if low < place <= high), None)
        if number is None or not isinstance(parts[number], Text):
            return None
        cuts.setdefault(number, []).append((place - bounds[number][0], mark))
    result: list[Expression] = []
    for number, part in enumerate(parts):
        result += _cut(part, cuts[number]) if number in cuts and isinstance(part, Text) else [part]
    return tuple(result)


def _cut(literal: Text, marks: Sequence[tuple[int, Mark]]) -> list[Expression]:
    result: list[Expression] = []
    done = 0
    for place, mark in marks:
        if place > done:
            result.append(Text(literal.text[done:place]))
        result.append(mark)
        done = place
    return [*result, Text(literal.text[done:])] if done < len(literal.text) else result


def spans_of(parts: Sequence[Expression], lookup: Lookup) -> Spans:
    """The spans that marks tell of a row, in characters of its text."""
    spans: Spans = []
    place, begin = 0, 0
    for part in parts:
        if part == Mark(True):
            begin = place
        elif part == Mark(False):
            spans.append((begin, place))
        place += len(evaluate(part, lookup))
    return spans


def _is_told_apart(part: Expression) -> bool:
    """Whether a part is a literal of the template, or a part of a content and nothing else."""
    while isinstance(part, Operation) and part.name in TAKES_AWAY:
        part = part.operand
    return not isinstance(part, Operation | Join)
