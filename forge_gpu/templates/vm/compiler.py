"""What all parts of the template compiler share: the code, the scope, and the tables of what each kind of
node becomes. The parts are files of handlers; `program.py` puts them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import ATTRIBUTES, Op
from forge_gpu.plain import frozen, mutable
from forge_gpu.templates.vm.code import (
    A_FUNCTION,
    UNDEFINED_VALUE,
    Cell,
    Code,
    Label,
    Slot,
    Unsupported,
)
from forge_gpu.templates.vm.frames import Frame, enter

MOST_FOLDED = 4096  # characters or members of a constant that is worked out while compiling


@mutable
class Macro:
    """A macro or the body of a call block. arguments: consecutive cells; `caller`: the cell of that name, if
    the body uses it. own: its first cell and the one after its last, known once its body is compiled."""

    number: int
    node: nodes.Macro | nodes.CallBlock
    frame: Frame
    entry: Label
    cells: Slot
    uses_caller: bool
    own: tuple[int, int] = (0, 0)

    @property
    def parameters(self) -> list[str]:
        return [argument.name for argument in self.node.args]

    @property
    def caller(self) -> Slot:
        return Slot(self.cells.number + len(self.node.args))

    def argument(self, number: int) -> Slot:
        return Slot(self.cells.number + number)


@frozen
class Tables:
    """Handlers by what they handle. A value's handler gives its cell; a writer writes `str()` of a node, of a
    node that must be a text where `strict`."""

    statements: Mapping[type, Callable[[Compiler, Any], None]]
    values: Mapping[type, Callable[[Compiler, Any], Cell]]
    conditions: Mapping[type, Callable[[Compiler, Any, Label, bool], bool]]
    writers: Mapping[type, Callable[[Compiler, Any, bool], bool]]
    iterables: Mapping[type, Callable[[Compiler, Any], Cell | None]]


@mutable
class Compiler:
    """One template while it is compiled. variables: what the row gives; fixed: what is the same for all rows;
    functions: the environment's globals."""

    tree: nodes.Template
    tables: Tables
    variables: Mapping[str, Slot]
    fixed: Mapping[str, Any]
    functions: frozenset[str]
    strftime: Callable[[str], str]
    code: Code
    frame: Frame
    macros: list[Macro] = field(default_factory=list)
    block_value: list[Cell] = field(default_factory=list)
    noted_dicts: dict[str, dict[Any, Any]] = field(default_factory=dict)  # see other_keys.py
    statements_kept: int = 0
    open_statement: bool = False
    inexact_marks: bool = False
    mark_turns: bool = False

    def __post_init__(self) -> None:
        self.attributes = _attributes(self.tree)
        self.makes_safe_texts = any(node.name == "safe" for node in self.tree.find_all(nodes.Filter))
        self.macro_nodes: dict[str, list[nodes.Macro]] = {}
        for node in self.tree.find_all(nodes.Macro):
            self.macro_nodes.setdefault(node.name, []).append(node)
        self.call_blocks = [node for node in self.tree.find_all(nodes.CallBlock) if not is_generation(node)]

    # names

    def resolve(self, name: str) -> Cell:
        """What a name means that no scope stores."""
        if name in self.variables:
            return self.variables[name]
        if name in self.fixed:
            return self.code.constant(self.fixed[name])
        return self.code.constant(A_FUNCTION if name in self.functions else UNDEFINED_VALUE)

    def is_function(self, node: nodes.Node, name: str) -> bool:
        """Does a node name one of jinja's functions, stored nowhere under that name?"""
        if not isinstance(node, nodes.Name) or node.name != name or name not in self.functions:
            return False
        return self.frame.lookup(name) == self.code.constant(A_FUNCTION)

    @contextmanager
    def scope(self, frame: Frame) -> Iterator[None]:
        """Compile in a frame that has been analysed."""
        outer, self.frame = self.frame, frame
        try:
            enter(frame, self.code, self.resolve)
            yield
        finally:
            self.frame = outer

    # what nodes become

    def statements(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self.code.line = node.lineno
            self.attempt(lambda node=node: self._statement(node))  # type: ignore[misc]

    def _statement(self, node: nodes.Node) -> None:
        self._handler(self.tables.statements, node)(self, node)

    def _handler(self, table: Mapping[type, Callable[..., Any]], node: nodes.Node) -> Callable[..., Any]:
        if type(node) not in table:
            raise Unsupported(type(node).__name__)
        return table[type(node)]

    def attempt(self, action: Callable[[], None]) -> bool:
        """Compile something; where it cannot be, code that gives the row to Jinja takes its place."""
        before, slot = len(self.code.instructions), self.code.slots
        try:
            action()
        except Unsupported as why:
            self.code.cut(before)
            self.code.fail(str(why))
            return False
        except RecursionError:
            self.code.cut(before)
            self.code.fail("expressions nested so deep")
            return False
        assert slot <= self.code.slots
        return True

    def value(self, node: nodes.Node) -> Cell:
        """The cell that has a node's value."""
        if is_constant(node):
            return self.code.constant(constant_of(node))
        cell: Cell = self._handler(self.tables.values, node)(self, node)
        return cell

    def guarded(self, node: nodes.Node, target: Slot) -> None:
        """target = a node's value; where that has no code, only rows that come here are Jinja's."""
        self.attempt(lambda: self.code.emit(Op.MOVE, target, self.value(node)))

    def write(self, node: nodes.Node, strict: bool = False) -> None:
        """Write a value as a text. strict: it must be one, as an operand of + beside a text must be."""
        if isinstance(node, nodes.TemplateData):
            self.code.write_literal(node.data)
            return
        if is_constant(node):
            value = constant_of(node)
            if isinstance(value, str) or (not strict and isinstance(value, int | None)):
                self.code.write_literal(str(value))
                return
        handler = self.tables.writers.get(type(node))
        if handler is None or not handler(self, node, strict):
            self.code.emit(Op.WRITE_TEXT if strict else Op.WRITE, self.value(node))

    def condition(self, node: nodes.Node, target: Label, when: bool) -> None:
        """Jump to a label if the truth of a node is `when`."""
        handler = self.tables.conditions.get(type(node))
        if handler is None or not handler(self, node, target, when):
            self.code.emit(Op.JUMP_IF, self.value(node), 0, int(when), target)

    def iterable(self, node: nodes.Node) -> Cell:
        """The cell of something that is gone over at once: what Python makes an iterator for is a list
        here."""
        handler = self.tables.iterables.get(type(node))
        cell = handler(self, node) if handler else None
        return self.value(node) if cell is None else cell

    # helpers

    def new(self, op: Op, *operands: Any) -> Slot:
        """A new cell that an operation writes."""
        slot = self.code.new_slot()
        self.code.emit(op, slot, *operands)
        return slot

    def consecutive(self, values: Sequence[Cell]) -> Slot:
        """Values in consecutive cells: the first."""
        first = self.code.new_slots(len(values))
        for number, value in enumerate(values):
            self.code.emit(Op.MOVE, Slot(first.number + number), value)
        return first

    def captured(self, action: Callable[[], None]) -> Slot:
        """The text that an action writes, as a value."""
        begin = self.new(Op.CAPTURE)
        self.frame.captures += 1
        try:
            action()
        finally:
            self.frame.captures -= 1
        return self.new(Op.CAPTURED, begin)

    def whose_turn(self) -> Slot | None:
        """A cell that says whose turn is written here; None where turns are not marked, and where texts that
        are written stand elsewhere later."""
        if not self.mark_turns or self.frame.captures or self.frame.in_macro:
            return None
        cell = self.code.new_slot()
        self.code.emit(Op.ROUND, cell, 0, 1)
        return cell

    def attribute(self, name: str) -> int:
        """The number of a namespace's attribute."""
        if name not in self.attributes or len(self.attributes) > ATTRIBUTES:
            raise Unsupported("namespaces of so many attributes")
        return self.attributes[name]


def is_generation(node: nodes.CallBlock) -> bool:
    """Is a block `{% generation %}` … `{% endgeneration %}`?"""
    call = node.call
    return isinstance(call, nodes.Call) and isinstance(call.node, nodes.ExtensionAttribute)


def _attributes(tree: nodes.Template) -> dict[str, int]:
    names = {node.attr for node in tree.find_all(nodes.NSRef)}
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "namespace":
            names |= {keyword.key for keyword in call.kwargs}
    return {name: number for number, name in enumerate(sorted(names))}


def is_constant(node: nodes.Node) -> bool:
    """Is a node's value known without running anything that could be large?"""
    if isinstance(node, nodes.Tuple | nodes.List):
        return len(node.items) < MOST_FOLDED and all(is_constant(item) for item in node.items)
    if isinstance(node, nodes.Neg):
        return isinstance(node.node, nodes.Const) and type(node.node.value) in (int, float)
    return type(node) in (nodes.Const, nodes.TemplateData)


def constant_of(node: nodes.Node) -> Any:
    if isinstance(node, nodes.Tuple):
        return tuple(constant_of(item) for item in node.items)
    if isinstance(node, nodes.List):
        return [constant_of(item) for item in node.items]
    if isinstance(node, nodes.Neg):
        return -constant_of(node.node)
    return node.data if isinstance(node, nodes.TemplateData) else node.value  # type: ignore[attr-defined]
