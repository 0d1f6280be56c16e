"""The Jinja environment in which templates are traced: the real one, but for what meets a stand-in.

Output reaches `concat` as values, not as str, so a stand-in stays one through macros, `set` blocks and the
whole text. Filters and tests are denied stand-ins unless they are modelled here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2 import filters, nodes
from jinja2.compiler import Frame
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

from forge_gpu.templates.bounds import Bounds
from forge_gpu.templates.functions import OPTIONS, install, to_json
from forge_gpu.templates.small import MOST_INDENT, SmallEnvironment, TildeGenerator
from forge_gpu.templates.tracing.expressions import Expression, Mark, Operation, Text, joined
from forge_gpu.templates.tracing.placeholders import (
    LengthPlaceholder,
    PieceSlice,
    PiecesPlaceholder,
    Placeholder,
    SafePlaceholder,
    TextPlaceholder,
    Trace,
    Untraceable,
    expression_of,
    holds_placeholder,
    text_of,
)

_OPEN_FILTERS = frozenset(
    ("default", "d", "map", "select", "reject", "selectattr", "rejectattr", "items", "attr", "batch", "slice")
)
"""Filters that move values about without a look inside them."""


_SCOPES = ("_loop_vars", "_block_vars")
"""Arguments that Jinja itself adds to calls: the names of the scope, for functions that ask for them."""


class _Generator(TildeGenerator):
    """Code that leaves output values as they are; `environment.emitted` makes text of what is none."""

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("environment.emitted(")
        if finalize.src is not None:
            self.write(finalize.src)


class TracingEnvironment(SmallEnvironment):
    """Serves one trace at a time: `trace` is set before a template runs."""

    code_generator_class = _Generator
    trace: Trace

    def __init__(self, bounds: Bounds, date: str | None) -> None:
        super().__init__(bounds, **OPTIONS)
        install(self.globals, date)
        self.generation_hook = self._marked
        _install_filters(self)
        _install_tests(self)

    def emitted(self, value: Any) -> Any:
        """A value that a template writes."""
        if isinstance(value, TextPlaceholder):
            return value
        if isinstance(value, Placeholder):
            raise Untraceable("a list or number made of a text, written")
        if isinstance(value, dict | list | tuple) and holds_placeholder(value):
            raise Untraceable("a structure with texts of the row, written")
        return str(value)

    def tilde(self, values: Iterable[Any]) -> Any:
        """a ~ b"""
        return self._joined([self.emitted(self._emitted(value)) for value in values])

    def _may_call(self, function: Any, owner: Any, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        return isinstance(owner, Placeholder) or super()._may_call(function, owner, args, options)

    def _weight(self, value: Any) -> int:
        return 1 if isinstance(value, Placeholder) else super()._weight(value)

    def _concat(self, parts: Iterable[Any]) -> Any:
        """The body of a macro, of a `set` block, of a call, or the whole text."""
        return self._joined(list(parts))

    def _joined(self, pieces: list[Any]) -> Any:
        if not any(isinstance(piece, Placeholder) for piece in pieces):
            return super()._concat(pieces)
        return text_of(joined(tuple(expression_of(piece) for piece in pieces)), self.trace)

    def _marked(self, text: Any) -> Any:
        return text_of(joined((Mark(True), expression_of(text), Mark(False))), self.trace)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if (
            isinstance(left, Placeholder)
            or isinstance(right, Placeholder)
            or holds_placeholder([left, right])
        ):
            raise Untraceable(f"{operator} with a text of the row")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **options: Any) -> Any:
        if isinstance(getattr(__obj, "__self__", None), str):
            given = {key: value for key, value in options.items() if key not in _SCOPES}
            __self._check_text_method(__obj, args, given)
            if getattr(__obj, "__name__", "") == "join" and holds_placeholder(list(args)):
                return __self._join_texts(__obj.__self__, *args)
        return super().call(__context, __obj, *args, **options)

    def _check_text_method(self, method: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """A known text's method may take stand-ins only where it is modelled (join)."""
        if method.__name__ != "join" and holds_placeholder([list(args), options]):
            raise Untraceable(f"str.{method.__name__} with a text of the row as an argument")

    def _join_texts(self, glue: str, items: Any) -> Any:
        if isinstance(items, PiecesPlaceholder):
            return items._rejoin(slice(None), glue)
        if isinstance(items, PieceSlice):
            return items._all._rejoin(items._where, glue)
        values = list(items)
        if not all(isinstance(value, str | TextPlaceholder) for value in values):
            raise TypeError("sequence item: expected str instance")
        return self._between(values, Text(glue))

    def _between(self, values: list[Any], glue: Expression) -> Any:
        parts: list[Expression] = []
        for number, value in enumerate(values):
            parts += ([glue] if number else []) + [expression_of(value)]
        return text_of(joined(tuple(parts)), self.trace)


def _install_filters(environment: TracingEnvironment) -> None:
    real: dict[str, Any] = dict(environment.filters)
    table = environment.filters
    for name, function in real.items():
        if name not in _OPEN_FILTERS:
            table[name] = _denying(f"the filter {name}", function)
    models: dict[str, Callable[..., Any]] = {
        "trim": lambda text, chars=None: text.strip(*(() if chars is None else (chars,))),
        "upper": lambda text: text.upper(),
        "lower": lambda text: text.lower(),
        "capitalize": lambda text: text.capitalize(),
        "title": lambda text: text._make("title_filter"),
        "string": lambda text: text,
        "indent": lambda text, *args, **options: text._make("indent", *_indent_arguments(*args, **options)),
        "length": lambda text: LengthPlaceholder(text._expression, text._trace),
        "count": lambda text: LengthPlaceholder(text._expression, text._trace),
    }
    for name, model in models.items():
        table[name] = _modelled(name, model, table[name])
    table["safe"] = _safe(table["safe"])
    table["tojson"] = lambda *args, **options: _to_json(environment, *args, **options)
    table["replace"] = _replace(environment, real["replace"])
    table["join"] = _join(environment, real["join"])
    table["first"] = _end_of_pieces(0, table["first"])
    table["last"] = _end_of_pieces(-1, table["last"])
    table["list"] = _list()


def _install_tests(environment: TracingEnvironment) -> None:
    tests = environment.tests
    listed: dict[str, Any] = dict(tests)
    for name, function in listed.items():
        tests[name] = _denying(f"the test {name}", function)
    real: dict[str, Any] = dict(ImmutableSandboxedEnvironment().tests)
    for name in ("defined", "undefined", "none", "boolean", "true", "false", "mapping", "in", "==", "eq",
                 "equalto", "!=", "ne", "float"):  # fmt: skip
        tests[name] = real[name]
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": TextPlaceholder,
        "iterable": (TextPlaceholder, PiecesPlaceholder, PieceSlice),
        "sequence": (TextPlaceholder, PiecesPlaceholder, PieceSlice),
        "number": LengthPlaceholder,
        "integer": LengthPlaceholder,
    }
    for name, kind in kinds.items():
        tests[name] = _kind_test(kind, real[name])


def _kind_test(kind: type | tuple[type, ...], real: Callable[..., Any]) -> Callable[..., bool]:
    return lambda value: isinstance(value, kind) if isinstance(value, Placeholder) else real(value)


def _denying(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test that takes no stand-in, nor a structure with one."""

    @wraps(function)  # keeps Jinja's mark of a filter that takes the environment or context
    def denying(*args: Any, **options: Any) -> Any:
        for value in itertools.chain(args, options.values()):
            if isinstance(value, Placeholder | dict | list | tuple) and holds_placeholder(value):
                raise Untraceable(f"{what} with a text of the row")
        return function(*args, **options)

    return denying


def _modelled(name: str, model: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """A filter with a model for texts; structures count as they are."""
    mark = getattr(otherwise, "jinja_pass_arg", None)
    counts = name in ("length", "count")  # a list with stand-ins has a length all the same

    @wraps(otherwise)
    def filtered(*args: Any, **options: Any) -> Any:
        given = args[1:] if mark else args
        if not isinstance(given[0], Placeholder):
            return filters.FILTERS[name](*given, **options) if counts else otherwise(*args, **options)
        if not isinstance(given[0], TextPlaceholder) or isinstance(given[0], SafePlaceholder):
            raise Untraceable(f"the filter {name} with a list, a number or a safe text")
        if any(isinstance(value, Placeholder) for value in (*given[1:], *options.values())):
            raise Untraceable(f"the filter {name} with a text of the row as an argument")
        return model(*given, **options)

    return filtered


def _indent_arguments(width: Any = 4, first: bool = False, blank: bool = False) -> tuple[Any, ...]:
    if not isinstance(width, int) or width > MOST_INDENT:
        raise Untraceable("a wide indent")
    return (width, first, blank)


def _safe(denying: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    def safe(context: Any, value: Any) -> Any:
        if isinstance(value, TextPlaceholder):
            return SafePlaceholder(value._expression, value._trace)
        return denying(context, value)

    return safe


def _replace(environment: TracingEnvironment, real: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    def replace(context: Any, text: Any, old: Any, new: Any, count: Any = None) -> Any:
        if (
            isinstance(text, SafePlaceholder)
            or isinstance(old, Placeholder)
            or isinstance(count, Placeholder)
        ):
            raise Untraceable("the filter replace with a safe text, or for a text of the row")
        if isinstance(text, TextPlaceholder):
            return text.replace(old, new, -1 if count is None else count)
        if isinstance(new, TextPlaceholder):
            if not isinstance(text, str) or isinstance(new, SafePlaceholder) or not old:
                raise Untraceable("the filter replace by a text of the row")
            pieces = text.split(old, -1 if count is None else count)
            return environment._between(pieces, expression_of(new))
        if holds_placeholder([text, new]):
            raise Untraceable("the filter replace with a structure")
        return real(context, text, old, new, count)

    return replace


def _join(environment: TracingEnvironment, real: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    def join(context: Any, items: Any, glue: Any = "", attribute: Any = None) -> Any:
        if isinstance(items, PiecesPlaceholder | PieceSlice) and attribute is None:
            return environment._join_texts(glue, items)
        if isinstance(items, Placeholder):
            raise Untraceable("the filter join with the characters of a text")
        values = list(items)
        if attribute is not None:
            values = list(map(filters.make_attrgetter(context.environment, attribute), values))
        if not holds_placeholder(values) and not isinstance(glue, Placeholder):
            return real(context, values, glue)
        texts = [environment.emitted(value) for value in values]
        return environment._between(texts, expression_of(environment.emitted(glue)))

    return join


def _end_of_pieces(index: int, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    real = filters.FILTERS["first" if index == 0 else "last"]

    @pass_context
    def end(context: Any, items: Any) -> Any:
        if isinstance(items, PiecesPlaceholder):
            return items[index]
        if isinstance(items, Placeholder):
            return otherwise(context, items)
        return real(context.environment, items)

    return end


def _list() -> Callable[..., Any]:
    def as_list(items: Any) -> Any:
        if isinstance(items, PiecesPlaceholder):
            return list(iter(items))
        if isinstance(items, Placeholder):
            raise Untraceable("the characters of a text as a list")
        return list(items)

    return as_list


def _to_json(
    environment: TracingEnvironment,
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> Any:
    """tojson of a structure: its own JSON text with each stand-in's in place."""
    environment._check_json(value, indent=indent, separators=separators)
    if not holds_placeholder(value):
        return to_json(value, ensure_ascii, indent, separators, sort_keys)
    held: list[TextPlaceholder] = []
    stamp = "\x00stand-in\x00"

    def stamped(item: Any) -> Any:
        if isinstance(item, SafePlaceholder) or (
            isinstance(item, Placeholder) and not isinstance(item, TextPlaceholder)
        ):
            raise Untraceable("tojson of a list, a number or a safe text")
        if isinstance(item, TextPlaceholder):
            held.append(item)
            return f"{stamp}{len(held) - 1}"
        if isinstance(item, dict):
            return {key: stamped(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [stamped(inner) for inner in item]
        if isinstance(item, Undefined):
            raise Untraceable("tojson of something undefined")
        if isinstance(item, str) and "\x00" in item:
            raise Untraceable("tojson of a text with NUL")
        return item

    text = json.dumps(
        stamped(value), ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    parts: list[Expression] = []
    for number, piece in enumerate(text.split('"' + json.dumps(stamp)[1:-1])):
        if number:
            index, piece = piece.split('"', 1)
            parts.append(Operation("tojson", held[int(index)]._expression, (bool(ensure_ascii),)))
        parts.append(Text(piece))
    return text_of(joined(tuple(parts)), environment.trace)
