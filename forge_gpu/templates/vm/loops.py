"""Loops: over what, the scope of a round, else, break and continue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import nodes
from jinja2.compiler import find_undeclared

from forge_gpu.kernels.vm_layout import Op
from forge_gpu.templates.vm.code import Cell, Label, Slot, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant
from forge_gpu.templates.vm.frames import Frame, Loop, parameters


def go_over(c: Compiler, source: Cell, each: Callable[[Slot], None]) -> None:
    """Code for each element of a value."""
    cells, top, end = c.code.new_slots(2), Label(), Label()
    c.code.emit(Op.LOOP, cells, source, 0, end)
    c.code.here(top)
    element = c.code.new_slot()
    c.code.emit(Op.ELEMENT, cells, element)
    each(element)
    c.code.emit(Op.NEXT, cells, 0, 0, top)
    c.code.here(end)


def loop(c: Compiler, node: nodes.For) -> None:
    """`else` is for loops whose body never came to its end: so Jinja's Python has it, `continue` included."""
    if node.recursive:
        raise Unsupported("a loop that is recursive")
    names = parameters(node.target)
    frame = c.frame.inner()
    if "loop" in find_undeclared(node.iter_child_nodes(only=("body",)), ("loop",)):
        identifier = frame.symbols.declare_parameter("loop")
    else:
        identifier = ""
    frame.symbols.analyze_node(node, for_branch="body")
    source = c.iterable(node.iter)
    if node.test is not None:
        source = _filtered(c, node, names, source)
    cells, top, end = c.code.new_slots(2), Label(), Label()
    before = c.whose_turn()
    here = Loop(cells, Label(), end, c.frame.captures)
    if identifier:
        frame.cells[identifier] = here
    frame.loop = here
    unfinished = c.new(Op.MOVE, c.code.constant(True)) if node.else_ else None
    c.code.emit(Op.LOOP, cells, source, 0, end)
    c.code.here(top)
    taken = _take_element(c, frame, cells, names)
    if before is not None and len(taken) == 1:
        c.code.emit(Op.ROUND, taken[0], 0, 0)
    with c.scope(frame):
        c.statements(node.body)
    if unfinished:
        c.code.emit(Op.MOVE, unfinished, c.code.constant(False))
    c.code.here(here.next)
    c.code.emit(Op.NEXT, cells, 0, 0, top)
    c.code.here(end)
    if before is not None:
        c.code.emit(Op.ROUND, before, 0, 2)
    if unfinished:
        _otherwise(c, node, unfinished)


def _take_element(c: Compiler, frame: Frame, cells: Slot, names: list[str]) -> list[Slot]:
    targets = [c.code.new_slot() for _ in names]
    for name, target in zip(names, targets, strict=True):
        frame.cells[frame.symbols.ref(name)] = target
    if len(targets) == 1:
        c.code.emit(Op.ELEMENT, cells, targets[0])
    else:
        c.code.emit(Op.PAIR, cells, *targets)
    return targets


def _otherwise(c: Compiler, node: nodes.For, unfinished: Slot) -> None:
    after = Label()
    c.code.emit(Op.JUMP_IF, unfinished, 0, 0, after)
    frame = c.frame.inner()
    frame.symbols.analyze_node(node, for_branch="else")
    with c.scope(frame):
        c.statements(node.else_)
    c.code.here(after)


def _filtered(c: Compiler, node: nodes.For, names: list[str], source: Cell) -> Cell:
    """The elements that pass the loop's own `if`. Jinja asks it between the rounds: what rounds can change,
    it must not ask for."""
    assert node.test is not None
    if _reads(node.test) & _changes(c, node.body) or (_calls(node.test) and _changes(c, node.body)):
        raise Unsupported("a loop whose condition reads what its body changes")
    frame = c.frame.inner()
    frame.symbols.analyze_node(node, for_branch="test")
    target = c.new(Op.LIST_LIKE, source, int(len(names) == 2))
    cells, top, end, skip = c.code.new_slots(2), Label(), Label(), Label()
    c.code.emit(Op.LOOP, cells, source, 0, end)
    c.code.here(top)
    _take_element(c, frame, cells, names)
    test, targets = node.test, [frame.cells[frame.symbols.ref(name)] for name in names]
    with c.scope(frame):
        c.condition(test, skip, False)
    c.code.emit(Op.PUSH if len(names) == 1 else Op.PUSH_PAIR, target, *targets)  # type: ignore[arg-type]
    c.code.here(skip)
    c.code.emit(Op.NEXT, cells, 0, 0, top)
    c.code.here(end)
    return target


def _all(node: nodes.Node, *kinds: type[nodes.Node]) -> list[Any]:
    """The nodes of some kinds under a node, itself included."""
    return [*([node] if isinstance(node, kinds) else []), *node.find_all(kinds)]


def _reads(test: nodes.Node) -> set[str]:
    """Names of attributes that an expression reads."""
    items = [item.arg for item in _all(test, nodes.Getitem)]
    names = {str(constant_of(item)) for item in items if is_constant(item)}
    return names | {attribute.attr for attribute in _all(test, nodes.Getattr)}


def _calls(node: nodes.Node) -> bool:
    return bool(_all(node, nodes.Call))


def _changes(c: Compiler, body: list[nodes.Node]) -> set[str]:
    """Names of attributes of namespaces that a body sets, or may set by the macros that it calls."""
    calls = any(_calls(node) for node in body)
    places = [*body, *(c.tree.find_all(nodes.Macro) if calls else ())]
    return {reference.attr for place in places for reference in _all(place, nodes.NSRef)}


def leave(c: Compiler, node: nodes.Break | nodes.Continue) -> None:
    here = c.frame.loop
    if here is None or here.captures != c.frame.captures:
        raise Unsupported("a break out of a block")
    c.code.jump(here.end if isinstance(node, nodes.Break) else here.next)
