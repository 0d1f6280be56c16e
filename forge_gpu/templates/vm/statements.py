"""Statements but for loops and macros."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import Op
from forge_gpu.templates.vm.code import Cell, Label, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, is_generation
from forge_gpu.templates.vm.kept import kept
from forge_gpu.templates.vm.loops import leave, loop
from forge_gpu.templates.vm.macros import call_block, define_macro
from forge_gpu.templates.vm.other_keys import note


def _output(c: Compiler, node: nodes.Output) -> None:
    for part in node.nodes:
        c.write(part)


def _if(c: Compiler, node: nodes.If) -> None:
    end = Label()
    for branch in (node, *node.elif_):
        other = Label()
        c.condition(branch.test, other, False)
        c.statements(branch.body)
        c.code.jump(end)
        c.code.here(other)
    c.statements(node.else_)
    c.code.here(end)


def _assign(c: Compiler, node: nodes.Assign) -> None:
    if isinstance(node.target, nodes.NSRef):
        value = c.value(node.node)
        _set_attribute(c, node.target, value)
    elif note(c, node):
        pass
    elif isinstance(node.target, nodes.Name):
        value = c.value(node.node)
        c.code.emit(Op.MOVE, c.frame.variable(node.target.name), value)
    else:
        _assign_several(c, node)


def _assign_several(c: Compiler, node: nodes.Assign) -> None:
    names, values = node.target, node.node
    if not isinstance(names, nodes.Tuple) or not isinstance(values, nodes.Tuple | nodes.List):
        raise Unsupported("an assignment to several names")
    if len(names.items) != len(values.items) or not all(isinstance(name, nodes.Name) for name in names.items):
        raise Unsupported("an assignment to several names")
    cells = [c.new(Op.MOVE, c.value(value)) for value in values.items]
    for name, cell in zip(names.items, cells, strict=True):
        c.code.emit(Op.MOVE, c.frame.variable(name.name), cell)  # type: ignore[attr-defined]


def _set_attribute(c: Compiler, target: nodes.NSRef, value: Cell) -> None:
    if target.attr.startswith("_"):
        raise Unsupported("a namespace with a name that starts with an underscore")
    space = c.value(nodes.Name(target.name, "load"))
    c.code.emit(Op.SET_ATTRIBUTE, space, c.attribute(target.attr), value)


def _assign_block(c: Compiler, node: nodes.AssignBlock) -> None:
    """`{% set name %}` … `{% endset %}`, with filters or without."""
    frame = c.frame.inner()
    frame.symbols.analyze_node(node)

    def body() -> None:
        frame.captures = c.frame.captures
        with c.scope(frame):
            c.statements(node.body)

    text: Cell = c.captured(body)
    if node.filter is not None:
        c.block_value.append(text)
        try:
            text = c.value(node.filter)
        finally:
            c.block_value.pop()
    if isinstance(node.target, nodes.NSRef):
        _set_attribute(c, node.target, text)
    elif isinstance(node.target, nodes.Name):
        c.code.emit(Op.MOVE, c.frame.variable(node.target.name), text)
    else:
        raise Unsupported("an assignment to several names")


def _filter_block(c: Compiler, node: nodes.FilterBlock) -> None:
    frame = c.frame.inner()
    frame.symbols.analyze_node(node)

    def body() -> None:
        frame.captures = c.frame.captures
        c.statements(node.body)

    with c.scope(frame):
        text = c.captured(body)
        c.block_value.append(text)
        try:
            c.write(node.filter)
        finally:
            c.block_value.pop()


def _with(c: Compiler, node: nodes.With) -> None:
    frame = c.frame.inner()
    frame.symbols.analyze_node(node)
    values = [c.value(value) for value in node.values]
    for target, value in zip(node.targets, values, strict=True):
        if not isinstance(target, nodes.Name):
            raise Unsupported("an assignment to several names")
        frame.cells[frame.symbols.ref(target.name)] = c.new(Op.MOVE, value)
    with c.scope(frame):
        c.statements(node.body)


def _call_block(c: Compiler, node: nodes.CallBlock) -> None:
    if not is_generation(node):
        call_block(c, node)
        return
    frame = c.frame.inner()
    frame.symbols.analyze_node(node)
    frame.loop = None
    inexact = c.frame.captures > 0 or c.frame.in_macro  # what is written there stands elsewhere later
    c.inexact_marks |= inexact
    c.code.emit(Op.MARK, 1)
    with c.scope(frame):
        c.statements(node.body)
    c.code.emit(Op.MARK, 0)


def _expression(c: Compiler, node: nodes.ExprStmt) -> None:
    c.value(node.node)


STATEMENTS: Mapping[type, Callable[[Compiler, Any], None]] = {
    nodes.Output: kept(_output),
    nodes.For: kept(loop),
    nodes.If: _if,
    nodes.Assign: _assign,
    nodes.AssignBlock: _assign_block,
    nodes.FilterBlock: _filter_block,
    nodes.With: _with,
    nodes.Macro: define_macro,
    nodes.CallBlock: _call_block,
    nodes.ExprStmt: _expression,
    nodes.Break: leave,
    nodes.Continue: leave,
}
