"""Sums with a text that Jinja calls safe: whatever else is added is escaped, as HTML is. Escaping a sum is
escaping its parts."""

from __future__ import annotations

from jinja2 import nodes
from markupsafe import escape

from forge_gpu.kernels.vm_layout import TESTS, Op
from forge_gpu.templates.vm.code import Cell, Label
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant

NAMES = (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.CondExpr, nodes.Or, nodes.And)
ESCAPED = {character: str(escape(character)) for character in "&<>'\""}  # & is first


def is_safe(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Filter) and node.name == "safe" and node.node is not None


def may_be_safe(c: Compiler, parts: list[nodes.Node]) -> bool:
    """Can a part of a sum be a safe text in some rows, though no filter stands there that says so?"""
    return c.makes_safe_texts and any(isinstance(part, NAMES) for part in parts)


def write_either_sum(c: Compiler, parts: list[nodes.Node], end_safe: Label, end: Label) -> None:
    """Write the sum of parts, of which one is a text; then jump to `end_safe` where one was safe, else to
    `end`."""
    values = [None if _is_text(part) else c.value(part) for part in parts]
    safe = Label()
    for value in values:
        if value is not None:
            c.code.emit(Op.JUMP_TEST, value, TESTS["escaped"], 1, safe)
    for part, value in zip(parts, values, strict=True):
        if value is None:
            c.code.write_literal(constant_of(part))
        else:
            c.code.emit(Op.WRITE_TEXT, value)
    c.code.jump(end)
    c.code.here(safe)
    for part, value in zip(parts, values, strict=True):
        if value is None:
            c.code.write_literal(str(escape(constant_of(part))))
        else:
            _write_escaped(c, value)
    c.code.jump(end_safe)


def _is_text(node: nodes.Node) -> bool:
    return is_constant(node) and isinstance(constant_of(node), str)


def write_safe_sum(c: Compiler, parts: list[nodes.Node]) -> None:
    """Write the sum of parts of which one is safe."""
    for part in parts:
        if is_safe(part):
            c.write(part)
        elif _is_text(part):
            c.code.write_literal(str(escape(constant_of(part))))
        else:
            _write_escaped(c, c.value(part))


def _write_escaped(c: Compiler, value: Cell) -> None:
    safe, end = Label(), Label()
    c.code.emit(Op.JUMP_TEST, value, TESTS["escaped"], 1, safe)
    text = value
    for character, spelled in ESCAPED.items():
        text = c.new(Op.REPLACE, text, c.code.constant(character), c.code.constant(spelled))
    c.code.emit(Op.WRITE_TEXT, text)
    c.code.jump(end)
    c.code.here(safe)
    c.code.emit(Op.WRITE, value)
    c.code.here(end)
