"""Jinja's own way to mark whose turn is written: calls in the template's syntax tree, at the same places
where the machine's code has them (`vm/loops.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import nodes

from forge_gpu.templates.bounds import BoundedEnvironment
from forge_gpu.templates.small import SmallEnvironment
from forge_gpu.templates.turns.written import NO_MESSAGE, Written

BODIES = ("body", "elif_", "else_")


class TurnMarks(BoundedEnvironment):
    """Notes whose turn is written while a template generates its text."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _mark_loops(tree)
        tree.set_environment(self)
        return tree

    def written(self, messages: list[Any], pieces: Callable[[], Iterable[str]]) -> Written:
        """What a template writes of these messages. pieces: its text, as it is made."""
        self._numbers = {id(message): number for number, message in enumerate(messages)}
        self._turns: list[tuple[int, int]] = []
        self._outer: list[int] = []
        self._current, self._place = NO_MESSAGE, 0
        text: list[str] = []
        for piece in pieces():
            text.append(piece)
            self._place += len(piece)
            self.check_size(self._place)
        return Written("".join(text), tuple(self._turns))

    def loop_begins(self) -> str:
        self._outer.append(self._current)
        return ""

    def turn_of(self, element: Any) -> str:
        self._turn(self._numbers.get(id(element), self._current))
        return ""

    def loop_ends(self) -> str:
        self._turn(self._outer.pop())
        return ""

    def _turn(self, number: int) -> None:
        if number != self._current:
            self._current = number
            self._turns.append((self._place, number))


class SmallTurnEnvironment(TurnMarks, SmallEnvironment):
    """The same in Forge's own process."""


def _mark_loops(node: nodes.Node) -> None:
    """Mark the loops under a node whose texts are written where they stand."""
    for name in BODIES:
        body = getattr(node, name, None)
        if isinstance(body, list):
            for child in body:
                if isinstance(child, nodes.If | nodes.For | nodes.With | nodes.Scope):
                    _mark_loops(child)
            body[:] = _with_marks(body)


def _with_marks(body: list[nodes.Node]) -> Iterator[nodes.Node]:
    for node in body:
        if not isinstance(node, nodes.For):
            yield node
            continue
        yield _call("loop_begins", node.lineno)
        if isinstance(node.target, nodes.Name):
            node.body.insert(0, _call("turn_of", node.lineno, nodes.Name(node.target.name, "load")))
        yield node
        yield _call("loop_ends", node.lineno)


def _call(name: str, line: int, *arguments: nodes.Expr) -> nodes.ExprStmt:
    call = nodes.Call(nodes.EnvironmentAttribute(name), list(arguments), [], None, None)
    return nodes.ExprStmt(call, lineno=line)
