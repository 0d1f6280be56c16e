"""Stand-ins for the texts of a row while a template is traced.

A placeholder is not a str: whatever C code asks of a text it refuses, so an operation that is not modelled
ends the trace (Untraceable) and can never be computed on a stand-in. It answers a branch's question by
asking the trace, which answers for one real row and remembers the question.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, Protocol

from markupsafe import Markup, escape

from forge_gpu.templates.tracing.expressions import (
    Expression,
    Join,
    Operation,
    Predicate,
    Text,
    has_mark,
    joined,
    known,
    weight,
)

MAX_PIECES = 64
MAX_PARTS = 2**14
MAX_WEIGHT = 2**10
"""How many times as long as the row an operation may make its texts."""


class Untraceable(Exception):
    """The template does something to a text that has no model. Derived from Exception alone, since Jinja
    swallows TypeError, LookupError and AttributeError in places."""


class Trace(Protocol):
    def ask(self, predicate: Predicate) -> bool:
        """The answer for the row that is traced."""


def _refuse(what: str) -> Any:
    def refuse(self: Any, *args: Any, **options: Any) -> NoReturn:
        raise Untraceable(what)

    return refuse


class Placeholder:
    """Base of all stand-ins: an expression and the trace it belongs to."""

    __slots__ = ("_expression", "_trace")

    def __init__(self, expression: Expression, trace: Trace) -> None:
        self._expression = expression
        self._trace = trace

    def _ask(self, name: str, *arguments: Any) -> bool:
        if has_mark(self._expression):
            raise Untraceable("a question about a text with generation tags")
        predicate = Predicate(name, self._expression, arguments)
        answer = known(predicate)
        return self._trace.ask(predicate) if answer is None else answer

    __str__ = __repr__ = _refuse("a text made of a list or number")
    __format__ = _refuse("formatting")
    __hash__ = _refuse("a lookup by a text of the row")
    __lt__ = __le__ = __gt__ = __ge__ = _refuse("an ordering of texts")
    __mul__ = __rmul__ = __mod__ = __rmod__ = __index__ = __int__ = __float__ = _refuse("arithmetic")
    __add__ = __radd__ = __sub__ = __rsub__ = __iter__ = __len__ = __contains__ = _refuse("an operation")
    __eq__ = __ne__ = __getitem__ = __bool__ = __call__ = _refuse("an operation")


class TextPlaceholder(Placeholder):
    """Stands for a str."""

    __slots__ = ()

    def _make(self, name: str, *arguments: Any) -> TextPlaceholder:
        if any(isinstance(item, Placeholder) for item in arguments):
            raise Untraceable(f"{name} with a text of the row as an argument")
        if has_mark(self._expression):
            raise Untraceable("an operation on a text with generation tags")
        made = Operation(name, self._expression, arguments)
        if weight(made) > MAX_WEIGHT:
            raise Untraceable("a text that grows")
        return TextPlaceholder(made, self._trace)

    def __bool__(self) -> bool:
        return self._ask("truthy")

    def __eq__(self, other: object) -> bool:
        return self._ask("equals", expression_of(other)) if isinstance(other, TEXTS) else False

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = _refuse("a lookup by a text of the row")

    def __contains__(self, part: object) -> bool:
        if not isinstance(part, TEXTS):
            raise TypeError(f"'in <string>' requires string as left operand, not {type(part).__name__}")
        return self._ask("contains", expression_of(part))

    def __add__(self, other: Any) -> Any:
        return add(self, other, self._trace)

    def __radd__(self, other: Any) -> Any:
        return add(other, self, self._trace)

    def __getitem__(self, key: Any) -> TextPlaceholder:
        if isinstance(key, slice):
            return self._make("slice", key.start, key.stop, key.step)
        if isinstance(key, Placeholder):
            raise Untraceable("an index that depends on a text of the row")
        if isinstance(key, bool) or not isinstance(key, int):
            raise TypeError("string indices must be integers")
        if not self._ask("at_least", key + 1 if key >= 0 else -key):
            raise IndexError("string index out of range")
        return self._make("slice", key, key + 1 if key != -1 else None, None)

    def strip(self, *chars: str) -> TextPlaceholder:
        return self._make("strip", *chars)

    def lstrip(self, *chars: str) -> TextPlaceholder:
        return self._make("lstrip", *chars)

    def rstrip(self, *chars: str) -> TextPlaceholder:
        return self._make("rstrip", *chars)

    def upper(self) -> TextPlaceholder:
        return self._make("upper")

    def lower(self) -> TextPlaceholder:
        return self._make("lower")

    def title(self) -> TextPlaceholder:
        return self._make("title")

    def capitalize(self) -> TextPlaceholder:
        return self._make("capitalize")

    def removeprefix(self, prefix: str) -> TextPlaceholder:
        return self._make("removeprefix", prefix)

    def removesuffix(self, suffix: str) -> TextPlaceholder:
        return self._make("removesuffix", suffix)

    def replace(self, old: str, new: str, count: int = -1) -> TextPlaceholder:
        return self._make("replace", old, new, *(() if count == -1 else (count,)))

    def startswith(self, *prefixes: Any) -> bool:
        return self._ask("starts", self._affix(prefixes))

    def endswith(self, *suffixes: Any) -> bool:
        return self._ask("ends", self._affix(suffixes))

    def _affix(self, required: tuple[Any, ...]) -> str | tuple[str, ...]:
        if len(required) != 1:
            raise Untraceable("a prefix or suffix test between positions")
        affixes = required[0] if isinstance(required[0], tuple) else required
        if not all(isinstance(affix, str) for affix in affixes):
            raise Untraceable("a prefix or suffix that is no known text")
        return required[0]  # type: ignore[no-any-return]

    def split(self, sep: str | None = None, maxsplit: int = -1) -> PiecesPlaceholder:
        return self._pieces("split", sep, maxsplit)

    def rsplit(self, sep: str | None = None, maxsplit: int = -1) -> PiecesPlaceholder:
        return self._pieces("rsplit", sep, maxsplit)

    def _pieces(self, how: str, separator: Any, limit: Any) -> PiecesPlaceholder:
        if isinstance(separator, Placeholder) or isinstance(limit, Placeholder) or separator == "":
            raise Untraceable("a split by a text of the row")
        return PiecesPlaceholder(self, how, separator, limit)

    def count(self, part: str) -> CountPlaceholder:
        if not isinstance(part, str):
            raise Untraceable("a count of a text of the row")
        return CountPlaceholder(self._expression, self._trace, part)

    def isdigit(self) -> bool:
        return self._ask("is", "isdigit")

    def isspace(self) -> bool:
        return self._ask("is", "isspace")


class SafePlaceholder(TextPlaceholder):
    """Stands for a Markup, what `|safe` gives: `+` HTML-escapes the other side."""

    __slots__ = ()

    def _make(self, name: str, *arguments: Any) -> NoReturn:
        raise Untraceable(f"{name} of a safe text")

    def _pieces(self, how: str, separator: Any, limit: Any) -> NoReturn:
        raise Untraceable("a split of a safe text")


class LengthPlaceholder(Placeholder):
    """Stands for the length of a text."""

    __slots__ = ()

    def _least(self, length: object) -> bool:
        if isinstance(length, bool) or not isinstance(length, int):
            raise Untraceable("a length compared with something else than a known number")
        return length <= 0 or self._ask("at_least", length)

    def __bool__(self) -> bool:
        return self._ask("truthy")

    def __ge__(self, length: Any) -> bool:
        return self._least(length)

    def __gt__(self, length: Any) -> bool:
        return self._least(length + 1)

    def __lt__(self, length: Any) -> bool:
        return not self._least(length)

    def __le__(self, length: Any) -> bool:
        return not self._least(length + 1)

    def __eq__(self, length: Any) -> bool:
        return self._least(length) and not self._least(length + 1)

    def __ne__(self, length: Any) -> bool:
        return not self == length

    __hash__ = _refuse("a lookup by a length")


class CountPlaceholder(LengthPlaceholder):
    """Stands for the number of times a text holds another."""

    __slots__ = ("_part",)

    def __init__(self, expression: Expression, trace: Trace, part: str) -> None:
        super().__init__(expression, trace)
        self._part = part

    def _least(self, length: object) -> bool:
        if isinstance(length, bool) or not isinstance(length, int):
            raise Untraceable("a count compared with something else than a known number")
        return length <= 0 or self._ask("counts", self._part, length)

    def __bool__(self) -> bool:
        return self._least(1)


class PiecesPlaceholder(Placeholder):
    """Stands for the list that split or rsplit gives."""

    __slots__ = ("_how", "_limit", "_separator", "_text")

    def __init__(self, text: TextPlaceholder, how: str, separator: str | None, limit: int) -> None:
        super().__init__(text._expression, text._trace)
        self._text, self._how, self._separator, self._limit = text, how, separator, limit

    def _has(self, pieces: int) -> bool:
        """Are there that many pieces?"""
        if self._separator is None:
            if self._limit != -1:
                raise Untraceable("a split at white space with a limit")
            return pieces <= 0 or self._ask("words", pieces)
        if pieces <= 1:
            return True
        if self._limit >= 0 and pieces > self._limit + 1:
            return False
        return self._ask("counts", self._separator, pieces - 1)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return PieceSlice(self, key)
        if isinstance(key, bool) or not isinstance(key, int):
            raise TypeError("list indices must be integers or slices")
        if not self._has(key + 1 if key >= 0 else -key):
            raise IndexError("list index out of range")
        return self._text._make("piece", self._how, self._separator, self._limit, key)

    def __bool__(self) -> bool:
        return self._has(1)

    def __iter__(self) -> Iterator[Any]:
        number = 0
        while self._has(number + 1):
            if number >= MAX_PIECES:
                raise Untraceable(f"a loop over more than {MAX_PIECES} pieces of a text")
            yield self[number]
            number += 1

    def _rejoin(self, key: slice, glue: object) -> TextPlaceholder:
        """glue.join(pieces[key])"""
        if self._separator is None or not isinstance(glue, str):
            raise Untraceable("words joined again, or joined by a text of the row")
        bounds = (key.start, key.stop, key.step)
        return self._text._make("rejoin", self._how, self._separator, self._limit, *bounds, glue)


class PieceSlice(Placeholder):
    """Stands for a slice of the pieces; it can only be joined."""

    __slots__ = ("_all", "_where")

    def __init__(self, pieces: PiecesPlaceholder, where: slice) -> None:
        super().__init__(pieces._expression, pieces._trace)
        self._all, self._where = pieces, where


def _model_all_methods() -> None:
    """Every other method of str exists and ends the trace; faults name the types that templates know."""
    for name in dir(str):
        if not name.startswith("_"):
            if name not in TextPlaceholder.__dict__:
                setattr(TextPlaceholder, name, _refuse(f"str.{name}"))
            setattr(SafePlaceholder, name, _refuse(f"Markup.{name}"))
    stand_for: dict[type, type] = {
        TextPlaceholder: str,
        SafePlaceholder: Markup,
        LengthPlaceholder: int,
        CountPlaceholder: int,
        PiecesPlaceholder: list,
        PieceSlice: list,
    }
    for kind, real in stand_for.items():
        if real in (int, list):
            for name in dir(real):
                if not name.startswith("_"):
                    setattr(kind, name, _refuse(f"{real.__name__}.{name}"))
        kind.__name__, kind.__module__ = real.__name__, "builtins"


_model_all_methods()
TEXTS = (str, TextPlaceholder)


def expression_of(value: Any) -> Expression:
    """A str or a stand-in for one, as an expression."""
    return value._expression if isinstance(value, TextPlaceholder) else Text(str(value))


def text_of(expression: Expression, trace: Trace) -> Any:
    """An expression as a value: a real str where all of it is known."""
    if isinstance(expression, Join) and len(expression.parts) > MAX_PARTS:
        raise Untraceable("a text of very many parts")
    return expression.text if isinstance(expression, Text) else TextPlaceholder(expression, trace)


def add(left: Any, right: Any, trace: Trace) -> Any:
    """left + right, one of them a stand-in."""
    for side in (left, right):
        if not isinstance(side, TEXTS):
            raise TypeError(f'can only concatenate str (not "{type(side).__name__}") to str')
    safe = [isinstance(side, SafePlaceholder) or hasattr(side, "__html__") for side in (left, right)]
    if not any(safe):
        return text_of(joined((expression_of(left), expression_of(right))), trace)
    sides = [
        expression_of(side) if is_safe else _escaped(expression_of(side))
        for side, is_safe in zip((left, right), safe, strict=True)
    ]
    whole = text_of(joined(tuple(sides)), trace)
    return SafePlaceholder(expression_of(whole), trace)


def _escaped(expression: Expression) -> Expression:
    if isinstance(expression, Text):
        return Text(str(escape(expression.text)))
    if has_mark(expression):
        raise Untraceable("an operation on a text with generation tags")
    return Operation("escape", expression)


def holds_placeholder(value: Any, depth: int = 0) -> bool:
    """Is there a stand-in anywhere in a value?"""
    if isinstance(value, Placeholder):
        return True
    if depth > 32:
        raise Untraceable("a structure nested too deep")
    if isinstance(value, dict):
        return any(holds_placeholder(item, depth + 1) for item in value.values()) or any(
            isinstance(key, Placeholder) for key in value
        )
    return isinstance(value, list | tuple) and any(holds_placeholder(item, depth + 1) for item in value)
