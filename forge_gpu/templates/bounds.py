"""Bounds that keep a hostile template from taking the machine: steps, time, sizes.

A step is one turn of a loop or one call of a macro: nothing else in Jinja can repeat. Sizes are held where
a text or list can grow by more than its parts: multiplication, powers, padding, formatting, replacing,
assignment and arguments (so doubling in a loop or a recursion ends) and the joined output.

One operation may still take as long as it likes, and nothing in its process can stop it. So these bounds
hold in a process of their own (`process.py`), which is ended when it takes longer or more memory; in Forge's
own process templates do only what `small.py` lets them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from forge_gpu.errors import TemplateError
from forge_gpu.plain import frozen

_STEPS_BETWEEN_CLOCKS = 1024
_PADDING_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_GROWING_FILTERS = ("replace", "join", "format", "indent", "center", "wordwrap", "batch", "slice")
_DIGITS = re.compile(r"\d+")


@frozen
class Bounds:
    """What one rendering of one conversation may take. size: characters of a text, items of a list; memory:
    bytes."""

    seconds: float = 10.0
    steps: int = 10_000_000
    size: int = 256 * 2**20
    memory: int = 2 * 2**30


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandboxed environment with bounds. An instance serves one thread at a time.

    A bound that is met raises TemplateError: it is the template's fault, not a row's.
    """

    intercepted_binops = frozenset(("*", "**", "%"))

    generation_hook: Callable[[str], str] | None = None
    """What is told of each `{% generation %}` block; it gives the block's text."""

    def __init__(self, bounds: Bounds, **options: Any) -> None:
        super().__init__(**options)
        self.bounds = bounds
        self.steps = 0
        self.deadline = float("inf")
        self.concat = self._concat  # type: ignore[method-assign]
        for name in _GROWING_FILTERS:
            self.filters[name] = self._checked_filter(name, self.filters[name])

        self.globals["lipsum"] = self.filters["random"] = _random

    def start(self) -> None:
        """Begin to count for one rendering."""
        self.steps = 0
        self.deadline = time.monotonic() + self.bounds.seconds

    def begin(self, variables: Iterable[Any]) -> None:
        """Begin a rendering of these values."""
        self.start()

    def out_of_memory(self) -> Exception:
        """What to raise where there is no more memory."""
        return TemplateError(more_memory(self.bounds))

    def step(self) -> str:
        """One turn of a loop or call of a macro."""
        self.steps += 1
        if self.steps % _STEPS_BETWEEN_CLOCKS == 0:
            if self.steps > self.bounds.steps:
                raise TemplateError(
                    f"the chat template takes more than {self.bounds.steps} steps for one row"
                )
            if time.monotonic() > self.deadline:
                raise TemplateError(more_time(self.bounds))
        return ""

    def check_size(self, size: int) -> None:
        if size > self.bounds.size:
            raise TemplateError(
                f"the chat template makes a text or list of more than {self.bounds.size} characters or items"
            )

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
            node.body.insert(0, nodes.ExprStmt(call("step"), lineno=node.lineno))  # type: ignore[attr-defined]
            if isinstance(node, nodes.For) and node.test is not None:
                node.test = nodes.Or(call("step"), node.test)  # a step is "": the test decides
        for assign in tree.find_all(nodes.Assign):
            if not isinstance(assign.node, nodes.Const):
                name = "member" if isinstance(assign.target, nodes.NSRef) else "kept"
                assign.node = call(name, assign.node)
        for scope in tree.find_all(nodes.With):
            scope.values = [call("kept", value) for value in scope.values]
        tree.set_environment(self)
        return tree

    def kept(self, value: Any) -> Any:
        """A value that a template gives a name."""
        if isinstance(value, str | list | tuple) and len(value) > self.bounds.size:
            self.check_size(len(value))
        return value

    def member(self, value: Any) -> Any:
        """A value that a template puts into a namespace."""
        return self.kept(value)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        if owner is __self:  # `step` and `kept`: ours, no business of the sandbox
            return __obj(*args)
        if isinstance(owner, str):
            __self._check_method(owner, __obj.__name__, args)
        elif isinstance(__obj, Macro | LoopContext):
            for value in (*args, *kwargs.values()):
                __self.kept(value)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def formatted(*args: Any, **options: Any) -> str:
            self._check_format(value.__self__, (*args, *options.values()))
            return wrapped(*args, **options)

        return formatted

    def _check_method(self, text: str, method: str, args: tuple[Any, ...]) -> None:
        if method in _PADDING_METHODS and args and isinstance(args[0], int):
            growth = max(1, text.count("\t")) if method == "expandtabs" else 1
            self.check_size(args[0] * growth)
        elif method == "replace" and len(args) > 1 and all(isinstance(item, str) for item in args[:2]):
            self.check_size(_replaced(text, args[0], args[1]))
        elif method == "join" and args and isinstance(args[0], list | tuple):
            self.check_size(
                sum(len(item) for item in args[0] if isinstance(item, str)) + len(text) * len(args[0])
            )

    def _check_format(self, text: str, values: tuple[Any, ...]) -> None:
        """Widths and precisions stand in the format, or, for `*` and nested braces, among the values."""
        self.check_size(sum(int(digits[:20]) for digits in _DIGITS.findall(text)))
        if "*" in text or "{" in text:
            self.check_size(max((value for value in values if isinstance(value, int)), default=0))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int):
                    self.check_size(len(text) * times)
        if operator == "%" and isinstance(left, str):
            self._check_format(left, right if isinstance(right, tuple) else (right,))
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            self.check_size(bits)
        return super().call_binop(context, operator, left, right)

    def _concat(self, parts: Iterable[str]) -> str:
        pieces = list(parts)
        self.check_size(sum(map(len, pieces)))
        return "".join(pieces)

    def _checked_filter(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)  # keeps jinja's mark of a filter that takes the environment or context
        def checked(*args: Any, **options: Any) -> Any:
            given = (*args, *options.values())
            texts = [item for item in given if isinstance(item, str)]
            numbers = [item for item in given if isinstance(item, int)]
            if name == "replace" and len(texts) > 2:
                self.check_size(_replaced(texts[0], texts[1], texts[2]))
            elif name == "format" and texts:
                self._check_format(texts[0], tuple(numbers))
            elif name == "join":
                lists = [item for item in args if isinstance(item, list | tuple)]
                size = sum(len(item) for items in lists for item in items if isinstance(item, str))
                self.check_size(size + max(map(len, texts), default=0) * sum(map(len, lists)))
            elif name == "indent" and texts:
                width = max((*numbers, *map(len, texts[1:])), default=0)
                self.check_size(len(texts[0]) + width * (texts[0].count("\n") + 1))
            else:
                self.check_size(max(numbers, default=0))
            return original(*args, **options)

        return checked


def more_time(bounds: Bounds) -> str:
    return f"the chat template takes more than {bounds.seconds:g} s for one row"


def more_memory(bounds: Bounds) -> str:
    return f"the chat template takes more than {bounds.memory // 2**20} MiB of memory for one row"


def call(name: str, *arguments: Any) -> nodes.Call:
    """A call of a method of the environment."""
    return nodes.Call(nodes.EnvironmentAttribute(name), list(arguments), [], None, None)


def _random(*args: Any, **options: Any) -> None:
    raise TemplateError("the chat template asks for random text: no two runs would give the same bytes")


def _replaced(text: str, old: str, new: str) -> int:
    """Characters of text.replace(old, new)."""
    return len(text) + text.count(old) * (len(new) - len(old)) if len(new) > len(old) else len(text)
