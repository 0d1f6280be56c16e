"""Sums with a text that Jinja calls safe: whatever else is added is escaped, as HTML is."""

from __future__ import annotations

from jinja2 import nodes
from markupsafe import escape

from forge_gpu.kernels.vm_layout import TESTS, Op
from forge_gpu.templates.vm.code import Label
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant

ESCAPED = {character: str(escape(character)) for character in "&<>'\""}  # & is first


def is_safe(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Filter) and node.name == "safe" and node.node is not None


def write_safe_sum(c: Compiler, parts: list[nodes.Node]) -> None:
    """Write the sum of parts of which one is safe. Escaping a sum is escaping its parts."""
    for part in parts:
        if is_safe(part):
            c.write(part)
        elif is_constant(part) and isinstance(constant_of(part), str):
            c.code.write_literal(str(escape(constant_of(part))))
        else:
            _write_escaped(c, part)


def _write_escaped(c: Compiler, node: nodes.Node) -> None:
    value, safe, end = c.value(node), Label(), Label()
    c.code.emit(Op.JUMP_TEST, value, TESTS["escaped"], 1, safe)
    text = value
    for character, spelled in ESCAPED.items():
        text = c.new(Op.REPLACE, text, c.code.constant(character), c.code.constant(spelled))
    c.code.emit(Op.WRITE_TEXT, text)
    c.code.jump(end)
    c.code.here(safe)
    c.code.emit(Op.WRITE, value)
    c.code.here(end)
