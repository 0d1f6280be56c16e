"""What a template may do in Forge's own process: what is known to take little, and never much.

No bound holds against one long operation in the same process: it has the interpreter's lock. So here a
template is let do only what takes time and memory in proportion to its row, on texts and lists that are
small. Whatever else it reaches ends the rendering with `Beyond`, and the row is rendered in another process
(`process.py`), where bounds hold from outside. Real templates hardly ever get there.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.utils import Namespace, _PassArg, pass_context
from jinja2.visitor import NodeTransformer

from forge_gpu.templates.bounds import BoundedEnvironment, Bounds, call
from forge_gpu.templates.functions import PlainNamespace, raise_exception, to_json

SECONDS = 2.0
STEPS = 100_000
MOST_ITEMS = 2**16
MOST_BITS = 4096
MOST_WEIGHT = 2**26
"""Characters that all texts under a list or dict have together, each counted as often as it stands there."""

MOST_WRITTEN = 2**26
MOST_INDENT = 32
CHARACTERS_A_STEP = 2**34
"""Characters of the source, times those of the largest text: what one step may go through."""

METHODS = frozenset(
    {
        "split", "rsplit", "splitlines", "strip", "lstrip", "rstrip", "startswith", "endswith",
        "replace", "join", "lower", "upper", "title", "capitalize", "find", "rfind", "count",
        "removeprefix", "removesuffix", "partition", "rpartition", "isdigit", "isspace", "isalpha",
        "isupper", "islower", "items", "keys", "values", "get", "copy",
    }
)  # fmt: skip
"""Methods of texts, lists and dicts."""

FILTERS = frozenset(
    {
        "default", "d", "trim", "length", "count", "string", "list", "first", "last", "items",
        "selectattr", "rejectattr", "select", "reject", "map", "safe", "lower", "upper", "dictsort",
        "int", "float", "abs", "title", "capitalize", "replace", "join", "tojson", "e", "escape",
        "reverse",
    }
)  # fmt: skip
DATE = re.compile(r"(%[-#]?[A-Za-z%]|[^%])*")
"""A date's format without widths."""


class Beyond(Exception):
    """What the template does next, or has taken by now, is for a process of its own. Derived from Exception
    alone, since Jinja swallows others in places."""


def small(bounds: Bounds, source: str) -> Bounds:
    """The bounds of a template in Forge's own process."""
    size = min(bounds.size, 2**22, max(2**16, CHARACTERS_A_STEP // (len(source) + 1)))
    return replace(bounds, seconds=min(SECONDS, bounds.seconds), steps=min(STEPS, bounds.steps), size=size)


class TildeGenerator(CodeGenerator):
    """Code in which `a ~ b` asks the environment."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.tilde((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Structures(NodeTransformer):
    """Lists, tuples and dicts that are no constants are handed to `structure`."""

    def _visit(self, node: nodes.List | nodes.Tuple | nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        if getattr(node, "ctx", "load") != "load" or _is_constant(node):
            return node
        return call("structure", node)

    visit_List = visit_Tuple = visit_Dict = _visit


def _is_constant(node: nodes.Node) -> bool:
    if isinstance(node, nodes.List | nodes.Tuple):
        return all(map(_is_constant, node.items))
    if isinstance(node, nodes.Dict):
        return all(_is_constant(pair.key) and _is_constant(pair.value) for pair in node.items)
    return isinstance(node, nodes.Const)


class SmallEnvironment(BoundedEnvironment):
    """Raises Beyond where BoundedEnvironment raises a bound, and for all that is not known to be small."""

    intercepted_binops = frozenset(("*", "**", "%", "/", "//"))
    code_generator_class: type[CodeGenerator] = TildeGenerator

    def __init__(self, bounds: Bounds, **options: Any) -> None:
        super().__init__(bounds, finalize=self._emitted, **options)
        self.filters["tojson"] = to_json
        for name, function in self.filters.items():
            self.filters[name] = self._small_filter(name, function) if name in FILTERS else _beyond
        self._made: dict[int, tuple[Any, int]] = {}
        self._heaviest = self._written = 0

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if tree.find(nodes.EvalContextModifier) is not None:  # `autoescape`: texts are joined in other ways
            tree.body.insert(0, nodes.ExprStmt(call("beyond"), lineno=1))
        _Structures().visit(tree)
        tree.set_environment(self)
        return tree

    def beyond(self) -> NoReturn:
        raise Beyond

    def start(self) -> None:
        super().start()
        self._made, self._heaviest, self._written = {}, 0, 0

    def begin(self, variables: Iterable[Any]) -> None:
        """Begin a rendering of these values. Raises Beyond where they are large."""
        self.start()
        weight, stack = 0, list(variables)
        while stack:
            value = stack.pop()
            kind = type(value)
            if kind is str:
                weight += len(value)
            elif kind is dict:
                stack += value
                stack += value.values()
            elif kind is list or kind is tuple:
                stack += value
            weight += 1
            if weight > self.bounds.size:
                raise Beyond
        self._heaviest = weight

    def out_of_memory(self) -> Exception:
        return Beyond()

    def step(self) -> str:
        self.steps += 1
        if self.steps > self.bounds.steps or time.monotonic() > self.deadline:
            raise Beyond
        return ""

    def check_size(self, size: int) -> None:
        if size > self.bounds.size:
            raise Beyond

    def kept(self, value: Any) -> Any:
        if isinstance(value, str):
            self.check_size(len(value))
        elif isinstance(value, list | tuple):
            self._weight(value)
        return value

    def member(self, value: Any) -> Any:
        if isinstance(value, Namespace):
            raise Beyond
        return self.kept(value)

    def structure(self, value: Any) -> Any:
        """A list, tuple or dict that the template makes: what it weighs is known from then on."""
        weight = 1
        for item in itertools.chain(value, value.values()) if isinstance(value, dict) else value:
            weight += self._weight(item)
        self._check_weight(weight)
        self._made[id(value)] = value, weight
        self._heaviest = max(self._heaviest, weight)
        return value

    def tilde(self, values: tuple[Any, ...]) -> str:
        """a ~ b"""
        self._check_weight(sum(map(self._weight, values)))
        return "".join(map(str, values))

    def _weight(self, value: Any) -> int:
        """At most so many characters does a value have as text. Raises Beyond where that is not known."""
        if isinstance(value, str):
            return len(value) + 1
        if isinstance(value, list | tuple | dict):
            made = self._made.get(id(value))
            weight = len(value) * self._heaviest if made is None else made[1]
            self._check_weight(weight)
            if len(value) > MOST_ITEMS:
                raise Beyond
            return weight
        if value is None or isinstance(value, int | float | Undefined | Macro):
            return 1
        raise Beyond

    def _check_weight(self, weight: int) -> None:
        if weight > MOST_WEIGHT:
            raise Beyond

    def _emitted(self, value: Any) -> Any:
        """A value that the template writes."""
        self._written += self._weight(value)
        if self._written > MOST_WRITTEN:
            raise Beyond
        return value

    def _concat(self, parts: Iterable[str]) -> str:
        pieces = list(parts)
        self.check_size(sum(map(len, pieces)))
        return "".join(pieces)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        if owner is not __self and not __self._may_call(__obj, owner, args, kwargs):
            raise Beyond
        return super().call(__context, __obj, *args, **kwargs)

    def _may_call(self, function: Any, owner: Any, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        if isinstance(function, Macro | LoopContext | Undefined) or isinstance(
            owner, LoopContext | Extension
        ):
            return True
        if isinstance(owner, str | list | dict | tuple):
            return function.__name__ in METHODS and self._is_in_time()
        if function is raise_exception:
            return True
        if function is range:
            return all(isinstance(item, int) for item in args) and len(range(*args[:3])) <= MOST_ITEMS
        if function is PlainNamespace:
            for value in (*args, *options.values()):
                self.member(value)
            return True
        if function is self.globals["strftime_now"]:
            return len(args) == 1 and isinstance(args[0], str) and is_plain_date(args[0])
        return False

    def _is_in_time(self) -> bool:
        return time.monotonic() <= self.deadline

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MOST_BITS:
                raise Beyond
        elif isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
            raise Beyond
        return super().call_binop(context, operator, left, right)

    def _small_filter(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        passed = _PassArg.from_obj(original)

        @pass_context  # so that Jinja works out no filter while it compiles
        @wraps(original, assigned=("__name__", "__doc__"), updated=())
        def small(context: Context, *args: Any, **options: Any) -> Any:
            if not self._is_in_time():
                raise Beyond
            for value in args:
                if isinstance(value, str | list | tuple | dict):
                    self._weight(value)
            if name == "tojson":
                self._check_json(*args, **options)
            elif name == "join":
                args = (self._joinable(*args, **options), *args[1:])
            match passed:
                case _PassArg.context:
                    args = (context, *args)
                case _PassArg.eval_context:
                    args = (context.eval_ctx, *args)
                case _PassArg.environment:
                    args = (self, *args)
            return original(*args, **options)

        return small

    def _joinable(self, items: Any, glue: Any = "", attribute: Any = None) -> list[Any]:
        """What is joined, as a list that is small with what is put between."""
        if attribute is not None or not isinstance(glue, str):
            raise Beyond
        values = list(itertools.islice(items, MOST_ITEMS + 1))
        if len(values) > MOST_ITEMS:
            raise Beyond
        self.check_size(sum(map(self._weight, values)) + len(glue) * len(values))
        return values

    def _check_json(self, value: Any, *args: Any, **options: Any) -> None:
        indent, separators = (*args, None, None, None)[1:3]
        indent, separators = options.get("indent", indent), options.get("separators", separators)
        if separators is not None and sum(map(len, separators)) > MOST_INDENT:
            raise Beyond
        if indent is None:
            return
        width = len(indent) if isinstance(indent, str) else indent
        if width > MOST_INDENT:
            raise Beyond
        self._check_weight(_indented(value, width))


def is_plain_date(form: str) -> bool:
    """Is a date's format one that writes few characters?"""
    return len(form) <= 256 and DATE.fullmatch(form) is not None


def _indented(value: Any, width: int) -> int:
    """Characters of all lines' indents."""
    size, stack = 0, [(value, 1)]
    while stack and size <= MOST_WEIGHT:
        item, depth = stack.pop()
        if isinstance(item, list | tuple | dict):
            size += (len(item) + 1) * (depth * width + 1)
            stack += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return size


@pass_context
def _beyond(*args: Any, **options: Any) -> NoReturn:
    raise Beyond
