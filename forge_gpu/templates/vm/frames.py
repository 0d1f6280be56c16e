"""Which cell a name means. Jinja's own symbol tracker decides; what its compiler would write as Python,
`enter` writes as instructions: a name that a scope stores begins as a copy of the outer one, or undefined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from jinja2 import nodes
from jinja2.idtracking import (
    VAR_LOAD_ALIAS,
    VAR_LOAD_PARAMETER,
    VAR_LOAD_RESOLVE,
    Symbols,
)

from forge_gpu.kernels.vm_layout import Op
from forge_gpu.plain import mutable
from forge_gpu.templates.vm.code import UNDEFINED_VALUE, Cell, Code, Label, Slot, Unsupported


@mutable
class Loop:
    """A loop whose body is compiled: its two cells, and where `continue` and `break` go."""

    cells: Slot
    next: Label
    end: Label
    captures: int


@mutable
class Frame:
    """A scope. cells: Jinja's name of a variable -> its cell; the variable `loop` -> a Loop.

    captures: set blocks and macro calls whose text is being collected: `break` must not leave one.
    """

    symbols: Symbols
    parent: Frame | None = None
    cells: dict[str, Cell | Loop] = field(default_factory=dict)
    loop: Loop | None = None
    captures: int = 0
    in_macro: bool = False

    def inner(self) -> Frame:
        return Frame(Symbols(self.symbols), self, {}, self.loop, self.captures, self.in_macro)

    def cell_of(self, identifier: str) -> Cell | Loop:
        frame: Frame | None = self
        while frame is not None:
            if identifier in frame.cells:
                return frame.cells[identifier]
            frame = frame.parent
        raise Unsupported("a name of another scope")

    def lookup(self, name: str) -> Cell | Loop:
        """What a name means here."""
        return self.cell_of(self.symbols.ref(name))

    def variable(self, name: str) -> Slot:
        """The cell that an assignment to a name writes."""
        cell = self.lookup(name)
        if not isinstance(cell, Slot):
            raise Unsupported(f"an assignment to {name}")
        return cell


def enter(frame: Frame, code: Code, resolve: Callable[[str], Cell]) -> None:
    """Give cells to the names of a frame that has been analysed; its parameters have theirs already."""
    stored = {frame.symbols.refs[name] for name in frame.symbols.stores if name in frame.symbols.refs}
    for identifier, (action, source) in frame.symbols.loads.items():
        if action == VAR_LOAD_PARAMETER or identifier in frame.cells:
            continue
        if action == VAR_LOAD_RESOLVE:
            value = resolve(source)
        elif action == VAR_LOAD_ALIAS:
            outer = frame.cell_of(source)
            if isinstance(outer, Loop):
                raise Unsupported("the loop under another name")
            value = outer
        else:
            value = code.constant(UNDEFINED_VALUE)
        if identifier in stored:
            frame.cells[identifier] = slot = code.new_slot()
            code.emit(Op.MOVE, slot, value)
        else:
            frame.cells[identifier] = value


def parameters(target: nodes.Node) -> list[str]:
    """The names that a loop assigns, one or two."""
    if isinstance(target, nodes.Name):
        return [target.name]
    items = target.items if isinstance(target, nodes.Tuple) else []
    names = [item.name for item in items if isinstance(item, nodes.Name)]
    if len(items) == len(set(names)) == 2:
        return names
    raise Unsupported("a loop with other targets than one or two names")
