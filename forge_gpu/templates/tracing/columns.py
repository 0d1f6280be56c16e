"""Expressions over the texts of one chunk: derived columns, made only for the messages that need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Any

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, U8, Spans
from forge_gpu.plain import frozen, mutable
from forge_gpu.templates.conversations import Bools, Conversations
from forge_gpu.templates.program import Literal, Slot, pack
from forge_gpu.templates.renderer import own, plain_spans, sparse_spans
from forge_gpu.templates.tracing.expressions import (
    OPERATIONS,
    Expression,
    Leaf,
    Lookup,
    Operation,
    Predicate,
    Text,
    evaluate,
    holds,
)
from forge_gpu.templates.values import text_of_span

CONTENT = own("content")
Chain = tuple[tuple[str, tuple[Any, ...]], ...]
"""Operations on a content, the first one first."""

STRIPS = ("strip", "lstrip", "rstrip")
"""Made of all contents of a chunk at once: that costs less than an account of which ones are needed."""


@frozen
class Needs:
    """What some programs read beyond contents as they are. chains: the elements of each derived column.
    made: texts of row level."""

    chains: tuple[tuple[Chain, I64], ...]
    made: tuple[Expression, ...]


@mutable
class _Derived:
    """A column of message level that is filled in piece by piece.

    pieces: buffers of texts that were made; where there are none, values are spans of the parent's buffer.
    """

    start: I64
    length: I64
    kind: U8
    done: Bools
    pieces: list[U8] = field(default_factory=list)
    size: int = 0


class TextColumns:
    """The contents of a chunk's conversations, and all that templates make of them."""

    def __init__(self, conversations: Conversations, engine: Engine) -> None:
        self.conversations = conversations
        self.engine = engine
        self._derived: dict[Chain, _Derived] = {}
        self._whole: dict[Chain, Spans] = {}
        self._made: dict[Expression, dict[int, bytes]] = {}

    def slot(self, expression: Expression) -> Slot:
        """The column and element that an expression is read from; `fill` makes it."""
        result = chain_of(expression)
        if result is None:
            return Slot(own(f"made {expression!r}"))
        chain, element = result
        return Slot(_name(chain), element)

    def is_message_level(self, expression: Expression) -> bool:
        return chain_of(expression) is not None

    def fill(self, needs: Needs, rows: I64) -> None:
        """Make the texts that some rows need."""
        for expression in needs.made:
            self._make(expression, rows)
        for chain, elements in needs.chains:
            if not self._is_whole(chain):
                # In the order of the messages in memory: a pass over the chunk, not one for each element.
                at = self.conversations.first[rows][:, None] + elements
                self._ensure(chain, at.ravel())

    def _make(self, expression: Expression, rows: I64) -> None:
        made = self._made.setdefault(expression, {})
        for row in rows.tolist():
            if row not in made:
                made[row] = evaluate(expression, self.lookup(row)).encode()

    def characters(self, expression: Expression, rows: I64) -> I64:
        """How many characters an expression that was filled has, row by row: int64[k]."""
        from forge_gpu.kernels.cpu import textops

        if isinstance(expression, Text):
            return np.full(len(rows), len(expression.text), np.int64)
        result = chain_of(expression)
        if result is None:
            return np.array([len(evaluate(expression, self.lookup(row))) for row in rows.tolist()], np.int64)
        chain, element = result
        return textops.characters(self._column(chain), self.conversations.first[rows] + element)

    def spans(self) -> dict[str, Spans]:
        """All columns of message level, by name."""
        return {_name(chain): self._column(chain) for chain in ((), *self._whole, *self._derived)}

    def row_spans(self) -> dict[str, Spans]:
        """All columns of row level, by name."""
        n = len(self.conversations)
        return {own(f"made {expression!r}"): sparse_spans(made, n) for expression, made in self._made.items()}

    def lookup(self, row: int) -> Lookup:
        """The texts of one row."""
        first = int(self.conversations.first[row])

        def text(leaf: Leaf) -> str:
            return text_of_span(self.conversations.content, first + leaf.element)

        return text

    def test(self, predicate: Predicate, rows: I64) -> Bools:
        """The answers of some rows to a predicate."""
        result = chain_of(predicate.operand)
        if result is not None:
            chain, element = result
            at = self.conversations.first[rows] + element
            self._ensure(chain, at)
            answer = self._test(predicate, chain, at)
            if answer is not None:
                return answer
        return np.array([holds(predicate, self.lookup(row)) for row in rows.tolist()], np.bool_)

    def _test(self, predicate: Predicate, chain: Chain, at: I64) -> Bools | None:
        from forge_gpu.kernels.cpu import textops

        column = self._column(chain)
        argument = predicate.arguments[0] if predicate.arguments else None
        text = argument.text if isinstance(argument, Text) else None
        match predicate.name:
            case "truthy":
                return column.length[at] > 0
            case "at_least" if isinstance(argument, int):
                return column.length[at] > 0 if argument == 1 else textops.at_least(column, at, argument)
            case "contains" if text:
                return textops.counts(column, at, text, 1)
            case "equals" if text is not None:
                return textops.equals(column, at, text)
            case "counts" if argument:
                return textops.counts(column, at, str(argument), predicate.arguments[1])
            case "starts" | "ends":
                test = textops.starts_with if predicate.name == "starts" else textops.ends_with
                affixes = argument if isinstance(argument, tuple) else (argument,)
                answer = np.zeros(len(at), np.bool_)
                for affix in affixes:
                    answer |= test(column, at, str(affix))
                return answer
        return None

    def _column(self, chain: Chain) -> Spans:
        if not chain:
            return self.conversations.content
        if chain in self._whole:
            return self._whole[chain]
        derived = self._derived[chain]
        if len(derived.pieces) > 1:
            derived.pieces = [np.concatenate(derived.pieces)]
        data = derived.pieces[0] if derived.pieces else self._column(chain[:-1]).data
        return Spans(data, derived.start, derived.length, derived.kind)

    def _is_whole(self, chain: Chain) -> bool:
        """Has a column all its values? Makes it where it can be made at once."""
        if not chain or chain in self._whole:
            return True
        name, arguments = chain[-1]
        if name not in STRIPS or not self._is_whole(chain[:-1]):
            return False
        made = cut_in_place(name, arguments, self._column(chain[:-1]), None)
        if made is not None:
            self._whole[chain] = made
        return made is not None

    def _ensure(self, chain: Chain, at: I64) -> None:
        if self._is_whole(chain):
            return
        derived = self._derived.get(chain)
        if derived is None:
            m = len(self.conversations.content)
            zero = np.zeros(m, np.int64)
            derived = _Derived(zero, zero.copy(), np.zeros(m, np.uint8), np.zeros(m, np.bool_))
            self._derived[chain] = derived
        at = at[~derived.done[at]]
        if not len(at):
            return
        self._ensure(chain[:-1], at)
        name, arguments = chain[-1]
        made = cut_in_place(name, arguments, self._column(chain[:-1]), at)
        if made is None:
            made = self._materialise(name, arguments, self._column(chain[:-1]), at)
            made = Spans(made.data, made.start + derived.size, made.length, made.kind)
            derived.pieces.append(made.data)
            derived.size += len(made.data)
        derived.start[at], derived.length[at], derived.kind[at] = made.start, made.length, made.kind
        derived.done[at] = True

    def _materialise(self, name: str, arguments: tuple[Any, ...], column: Spans, at: I64) -> Spans:
        if name == "tojson" and arguments == (False,):
            return self._json(column, at)
        operation = OPERATIONS[name]
        return plain_spans(operation(text_of_span(column, i), *arguments).encode() for i in at.tolist())

    def _json(self, column: Spans, at: I64) -> Spans:
        """Each text as JSON: a canonical body, as `tojson` writes it, between quotes."""
        table = pack([(Literal(b'"'), Slot(CONTENT), Literal(b'"'))])
        program = np.zeros(len(column), np.int32)
        text = self.engine.render(table, program, [column], at, layout.AS_JSON)
        return layout.spans_of_offsets(text.data[: text.offsets[-1]].copy(), text.offsets)


def chain_of(expression: Expression) -> tuple[Chain, int] | None:
    """The operations that make an expression of one content; None where it is made of several texts."""
    operations: list[tuple[str, tuple[Any, ...]]] = []
    while isinstance(expression, Operation):
        operations.append((expression.name, expression.arguments))
        expression = expression.operand
    if not isinstance(expression, Leaf):
        return None
    return tuple(reversed(operations)), expression.element


def needs_of(expressions: Iterable[Expression]) -> Needs:
    elements: dict[Chain, set[int]] = {}
    made: list[Expression] = []
    for expression in expressions:
        result = chain_of(expression)
        if result is None:
            made.append(expression)
        elif result[0]:
            elements.setdefault(result[0], set()).add(result[1])
    chains = ((chain, np.array(sorted(chosen), np.int64)) for chain, chosen in elements.items())
    return Needs(tuple(chains), tuple(made))


def _name(chain: Chain) -> str:
    return "|".join(
        [CONTENT, *(f"{name}{list(arguments) if arguments else ''}" for name, arguments in chain)]
    )


def cut_in_place(name: str, arguments: tuple[Any, ...], column: Spans, at: I64 | None) -> Spans | None:
    """An operation whose result is a span of the same buffer; None where it is none of those. at: None for
    every value, where the operation is one of STRIPS."""
    from forge_gpu.kernels.cpu import textops

    match name, arguments:
        case "strip" | "lstrip" | "rstrip", () | (None,) | (str(),):
            characters = arguments[0] if arguments else None
            return textops.strip(column, at, name != "rstrip", name != "lstrip", characters)
    if at is None:
        return None
    match name, arguments:
        case "slice", (int() | None as start, int() | None as stop, None | 1):
            return textops.cut(column, at, start, stop)
        case "piece", ("split", str() as separator, int() as limit, int() as index) if separator:
            return textops.piece(column, at, separator, limit, index)
        case "piece", ("rsplit", str() as separator, -1, int() as index) if separator and _borderless(
            separator
        ):
            return textops.piece(column, at, separator, -1, index)
        case "removeprefix" | "removesuffix", (str() as affix,):
            return textops.remove_affix(column, at, affix, name == "removesuffix")
    return None


def _borderless(separator: str) -> bool:
    """No end of it is its own beginning: then splitting from the left and from the right is the same."""
    return not any(separator.endswith(separator[:size]) for size in range(1, len(separator)))
