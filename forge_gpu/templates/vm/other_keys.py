"""Dicts with keys that are no texts. The machine has none; but what a template asks of one whose members are
constants, and which it names once at its outermost level, is known while it is compiled."""

from __future__ import annotations

from typing import Any

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import TESTS, Op
from forge_gpu.templates.vm.code import UNDEFINED_VALUE, Cell, Label, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant

MOST_KEYS = 256


def note(c: Compiler, node: nodes.Assign) -> bool:
    """Note such a dict under its name; False for every other assignment."""
    if not isinstance(node.node, nodes.Dict) or not isinstance(node.target, nodes.Name):
        return False
    if not all(is_constant(pair.key) and is_constant(pair.value) for pair in node.node.items):
        return False
    pairs = [(constant_of(pair.key), constant_of(pair.value)) for pair in node.node.items]
    if all(type(key) is str for key, _ in pairs) or not all(type(key) in (int, str) for key, _ in pairs):
        return False
    name = node.target.name
    stored = [other for other in c.tree.find_all(nodes.Name) if other.name == name and other.ctx != "load"]
    if len(pairs) > MOST_KEYS or len(stored) > 1 or not any(node is other for other in c.tree.body):
        return False
    c.noted_dicts[name] = dict(pairs)
    return True


def noted(c: Compiler, node: nodes.Node | None) -> dict[Any, Any] | None:
    """The dict that a node names. Not inside macros, which may be called before it is."""
    if not isinstance(node, nodes.Name) or c.frame.in_macro:
        return None
    return c.noted_dicts.get(node.name)


def pairs_of(c: Compiler, node: nodes.Node | None, ordered: bool) -> Cell | None:
    """The pairs of a dict that was noted, as a list; ordered: by their keys."""
    known = noted(c, node)
    if known is None:
        return None
    if ordered and len({type(key) for key in known}) > 1:
        raise Unsupported("keys of several types in order")
    if not ordered or isinstance(next(iter(known)), str):
        return c.code.constant(list(known.items()))
    return c.code.constant(sorted(known.items()))


def member_of(c: Compiler, node: nodes.Node, key: nodes.Expr, default: nodes.Expr | None, get: bool) -> Cell:
    """node[key], or node.get(key, default), of a dict that was noted."""
    known = noted(c, node)
    assert known is not None
    asked, target, end = c.value(key), c.code.new_slot(), Label()
    for one, value in known.items():
        other = Label()
        c.code.emit(Op.JUMP_EQUAL, asked, c.code.constant(one), 0, other)
        c.code.emit(Op.MOVE, target, c.code.constant(value))
        c.code.jump(end)
        c.code.here(other)
    if get:
        c.guarded(default or nodes.Const(None), target)
    else:
        usual = Label()
        c.code.emit(Op.JUMP_TEST, asked, TESTS["string"], 0, usual)
        c.code.fail("an attribute of a dict")
        c.code.here(usual)
        c.code.emit(Op.MOVE, target, c.code.constant(UNDEFINED_VALUE))
    c.code.here(end)
    return target
