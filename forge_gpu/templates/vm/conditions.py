"""Truths that are jumped on: and, or, not, comparisons, tests. Without these, they would first become
values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import TESTS, Op
from forge_gpu.templates.vm.code import Label
from forge_gpu.templates.vm.compiler import Compiler

JUMPS = {
    "eq": (Op.JUMP_EQUAL, True),
    "ne": (Op.JUMP_EQUAL, False),
    "in": (Op.JUMP_IN, True),
    "notin": (Op.JUMP_IN, False),
}


def _negation(c: Compiler, node: nodes.Not, target: Label, when: bool) -> bool:
    c.condition(node.node, target, not when)
    return True


def _both(c: Compiler, node: nodes.And | nodes.Or, target: Label, when: bool) -> bool:
    """One operand settles an `or` that is true, and an `and` that is false; else the second is asked."""
    settles = isinstance(node, nodes.Or)
    after = Label()
    if when == settles:
        c.condition(node.left, target, when)
    else:
        c.condition(node.left, after, settles)
    c.attempt(lambda: c.condition(node.right, target, when))
    c.code.here(after)
    return True


def _comparison(c: Compiler, node: nodes.Compare, target: Label, when: bool) -> bool:
    if len(node.ops) != 1 or node.ops[0].op not in JUMPS:
        return False
    op, meaning = JUMPS[node.ops[0].op]
    left = c.value(node.expr)
    c.code.emit(op, left, c.value(node.ops[0].expr), int(meaning == when), target)
    return True


def _test(c: Compiler, node: nodes.Test, target: Label, when: bool) -> bool:
    if node.name not in TESTS or node.args or node.kwargs:
        return False
    c.code.emit(Op.JUMP_TEST, c.value(node.node), TESTS[node.name], int(when), target)
    return True


CONDITIONS: Mapping[type, Callable[[Compiler, Any, Label, bool], bool]] = {
    nodes.Not: _negation,
    nodes.And: _both,
    nodes.Or: _both,
    nodes.Compare: _comparison,
    nodes.Test: _test,
}
