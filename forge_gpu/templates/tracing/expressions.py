"""What a template does to texts it has not seen: expressions, and the predicates its branches ask.

Expressions are values: equal ones compare equal and hash alike, so they name columns and key caches. The
meaning of each is what `evaluate` and `holds` do with real texts; kernels must agree with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import filters
from markupsafe import escape

from forge_gpu.plain import frozen

Arguments = tuple[Any, ...]


@frozen
class Text:
    """A text that is known."""

    text: str


@frozen
class Leaf:
    """A text of the row: `path` leads to it from the row's messages, e.g. (2, "content"). element: its number
    among the row's texts; what the columns count, where they hold the row."""

    path: tuple[str | int, ...]
    element: int = 0


@frozen
class Operation:
    """A text made of another one; see OPERATIONS."""

    name: str
    operand: Expression
    arguments: Arguments = ()


@frozen
class Join:
    """Several texts, one after another; at least two, none of them a Join."""

    parts: tuple[Expression, ...]


@frozen
class Mark:
    """The start or the end of what the assistant wrote; an empty text."""

    opens: bool


Expression = Text | Leaf | Operation | Join | Mark
Lookup = Callable[[Leaf], str]


@frozen
class Predicate:
    """A question that a branch asks about texts of the row; see PREDICATES."""

    name: str
    operand: Expression
    arguments: Arguments = ()


def _split(text: str, how: str, separator: str | None, limit: int) -> list[str]:
    return text.split(separator, limit) if how == "split" else text.rsplit(separator, limit)


OPERATIONS: dict[str, Callable[..., str]] = {
    "strip": lambda text, *chars: text.strip(*chars),
    "lstrip": lambda text, *chars: text.lstrip(*chars),
    "rstrip": lambda text, *chars: text.rstrip(*chars),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "title_filter": lambda text: filters.do_title(text),
    "capitalize": lambda text: text.capitalize(),
    "removeprefix": lambda text, prefix: text.removeprefix(prefix),
    "removesuffix": lambda text, suffix: text.removesuffix(suffix),
    "replace": lambda text, old, new, *count: text.replace(old, new, *count),
    "slice": lambda text, start, stop, step: text[start:stop:step],
    "piece": lambda text, how, separator, limit, index: _split(text, how, separator, limit)[index],
    "rejoin": lambda text, how, separator, limit, start, stop, step, glue: glue.join(
        _split(text, how, separator, limit)[start:stop:step]
    ),
    "tojson": lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only),
    "escape": lambda text: str(escape(text)),
    "indent": lambda text, *arguments: filters.do_indent(text, *arguments),
}
"""Operation -> its meaning, (text, *arguments) -> text."""

PREDICATES: dict[str, Callable[..., bool]] = {
    "truthy": lambda text: bool(text),
    "contains": lambda text, part: part in text,
    "equals": lambda text, other: text == other,
    "starts": lambda text, prefix: text.startswith(prefix),
    "ends": lambda text, suffix: text.endswith(suffix),
    "at_least": lambda text, length: len(text) >= length,
    "counts": lambda text, part, times: text.count(part) >= times,
    "words": lambda text, times: len(text.split()) >= times,
    "is": lambda text, method: bool(getattr(text, method)()),
}
"""Predicate -> its meaning, (text, *arguments) -> bool; an argument may be an expression."""


def evaluate(expression: Expression, lookup: Lookup) -> str:
    """The text of an expression for a row whose texts `lookup` gives."""
    match expression:
        case Text(text):
            return text
        case Leaf():
            return lookup(expression)
        case Join(parts):
            return "".join([evaluate(part, lookup) for part in parts])
        case Operation(name, operand, arguments):
            return OPERATIONS[name](evaluate(operand, lookup), *arguments)
        case Mark():
            return ""


def holds(predicate: Predicate, lookup: Lookup) -> bool:
    """The answer to a predicate for a row."""
    arguments = [
        evaluate(item, lookup) if isinstance(item, Text | Leaf | Operation | Join) else item
        for item in predicate.arguments
    ]
    return PREDICATES[predicate.name](evaluate(predicate.operand, lookup), *arguments)


def joined(parts: Iterator[Expression] | tuple[Expression, ...]) -> Expression:
    """Texts one after another, in the simplest form: known neighbours are one, empty ones are gone."""
    flat: list[Expression] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Join) else (part,):
            if piece == Text(""):
                continue
            if flat and isinstance(piece, Text) and isinstance(flat[-1], Text):
                flat[-1] = Text(flat[-1].text + piece.text)
            else:
                flat.append(piece)
    if not flat:
        return Text("")
    return flat[0] if len(flat) == 1 else Join(tuple(flat))


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """The expression as a sequence."""
    return expression.parts if isinstance(expression, Join) else (expression,)


def growth(name: str, arguments: Arguments) -> int:
    """How many times as long as its operand a text can be, at most."""
    match name, arguments:
        case "replace", (str(old), str(new), *_):
            return max(1, -(-len(new) // len(old))) if old else len(new) + 1
        case "rejoin", (_, separator, _, _, _, _, str(glue)):
            return max(1, -(-len(glue) // len(separator)))
        case "indent", (int(width), *_):
            return width + 1
        case "tojson" | "escape" | "upper" | "lower" | "title" | "capitalize" | "title_filter", _:
            return 6
    return 1


def weight(expression: Expression) -> int:
    """How many times as long as all texts of the row a text can be, at most."""
    match expression:
        case Leaf():
            return 1
        case Operation(name, operand, arguments):
            return weight(operand) * growth(name, arguments)
        case Join(parts):
            return sum(map(weight, parts))
    return 0


def has_mark(expression: Expression) -> bool:
    match expression:
        case Mark():
            return True
        case Join(parts):
            return any(has_mark(part) for part in parts)
        case Operation(_, operand, _):
            return has_mark(operand)
        case _:
            return False


def leaves(expression: Expression) -> Iterator[Leaf]:
    """The texts of the row that an expression reads."""
    match expression:
        case Leaf():
            yield expression
        case Join(parts):
            for part in parts:
                yield from leaves(part)
        case Operation(_, operand, _):
            yield from leaves(operand)
        case _:
            return


def known(predicate: Predicate) -> bool | None:
    """The answer where known texts alone decide it; None where the row must be asked."""
    parts = parts_of(predicate.operand)
    texts = [part.text for part in parts if isinstance(part, Text)]
    arguments = predicate.arguments
    if len(texts) == len(parts) and all(not isinstance(item, Leaf | Operation | Join) for item in arguments):
        return holds(predicate, lambda leaf: "")
    argument = arguments[0].text if arguments and isinstance(arguments[0], Text) else None
    match predicate.name:
        case "truthy":
            return True if any(texts) or _never_empty(predicate.operand) else None
        case "contains" if argument is not None:
            return True if any(argument in text for text in texts) or not argument else None
        case "equals" if predicate.operand == arguments[0]:
            return True
        case "equals" if argument is not None:
            return False if sum(map(len, texts)) > len(argument) else None
        case "starts" if isinstance(parts[0], Text):
            return _overlap(parts[0].text, arguments[0], str.startswith)
        case "ends" if isinstance(parts[-1], Text):
            return _overlap(parts[-1].text, arguments[0], str.endswith)
    return None


def _never_empty(expression: Expression) -> bool:
    return isinstance(expression, Operation) and expression.name == "tojson"


def _overlap(text: str, affix: str | tuple[str, ...], test: Callable[[str, str], bool]) -> bool | None:
    """Does a text that goes on begin (or end) with `wanted`? None where it depends on how it goes on."""
    if not isinstance(affix, str):
        return None
    if len(text) >= len(affix):
        return test(text, affix)
    return None if test(affix, text) else False
