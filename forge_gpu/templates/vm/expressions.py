"""Values of expressions: names, members, slices, comparisons, arithmetic, lists, dicts, calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes
from markupsafe import Markup

from forge_gpu.kernels.vm_layout import (
    DICT,
    ITEM_GET,
    LIST,
    LOOP_VALUES,
    NAME_FLAGS,
    NAME_NOT_DICT,
    NAME_OF_DICT,
    NONE,
    TESTS,
    TEXT,
    TUPLE,
    UNDEFINED,
    Op,
    types,
)
from forge_gpu.templates.small import is_plain_date
from forge_gpu.templates.vm.code import UNDEFINED_VALUE, Cell, Label, Slot, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant
from forge_gpu.templates.vm.filters import filtered, iterable_filter
from forge_gpu.templates.vm.frames import Loop
from forge_gpu.templates.vm.macros import call_macro, macros_named
from forge_gpu.templates.vm.methods import call_method
from forge_gpu.templates.vm.other_keys import member_of, noted, pairs_of
from forge_gpu.templates.vm.output import is_text, operands
from forge_gpu.templates.vm.safe import is_safe, may_be_safe, write_either_sum, write_safe_sum

DICT_NAMES = frozenset(dir(dict))
OTHER_NAMES = frozenset(
    name for kind in (str, Markup, list, tuple, int, float, bool, type(None)) for name in dir(kind)
)
NO_KEYS = types(UNDEFINED, NONE, LIST, TUPLE, DICT)
"""Types of values that no dict of a template has as a key."""

COMPARISONS = ("lt", "lteq", "gt", "gteq")
TEST_NAMES = {
    "equalto": "eq",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "lessthan": "lt",
    "<=": "lteq",
    "le": "lteq",
    ">": "gt",
    "greaterthan": "gt",
    ">=": "gteq",
    "ge": "gteq",
}


def _name(c: Compiler, node: nodes.Name) -> Cell:
    cell = c.frame.lookup(node.name)
    if isinstance(cell, Loop):
        raise Unsupported("the loop as a value")
    if node.name in c.noted_dicts:
        raise Unsupported("a dict with keys that are no texts, as a value")
    return cell


def _attribute(c: Compiler, node: nodes.Getattr) -> Cell:
    if isinstance(node.node, nodes.Name):
        cell = c.frame.lookup(node.node.name)
        if isinstance(cell, Loop):
            return _loop_value(c, cell, node.attr)
    if node.attr in DICT_NAMES and node.attr not in c.attributes:
        raise Unsupported(f"the method {node.attr} as a value")
    return member(c, c.value(node.node), node.attr, NAME_OF_DICT)


def _loop_value(c: Compiler, loop: Loop, name: str) -> Cell:
    if name == "index0":
        return c.new(Op.MOVE, Slot(loop.cells.number + 1))
    if name not in LOOP_VALUES:
        raise Unsupported(f"loop.{name}")
    target = c.code.new_slot()
    c.code.emit(Op.LOOP_VALUE, loop.cells, target, LOOP_VALUES.index(name))
    return target


def member(c: Compiler, base: Cell, name: str, of_dict: int) -> Cell:
    """base.name; of_dict: NAME_OF_DICT, told where dicts have a method of that name."""
    if name.startswith("__"):
        raise Unsupported(f"the attribute {name}")
    flags = (NAME_NOT_DICT if name in OTHER_NAMES else 0) | (of_dict if name in DICT_NAMES else 0)
    number = c.attribute(name) + 1 if name in c.attributes else 0
    return c.new(Op.MEMBER, base, c.code.constant(name), flags | number << NAME_FLAGS)


def _item(c: Compiler, node: nodes.Getitem) -> Cell:
    if isinstance(node.arg, nodes.Slice):
        base = c.value(node.node)
        bounds = [
            None if part is None else c.value(part) for part in (node.arg.start, node.arg.stop, node.arg.step)
        ]
        none = c.code.constant(None)
        return c.new(Op.SLICE, base, c.consecutive([none if part is None else part for part in bounds]))
    if noted(c, node.node) is not None:
        return member_of(c, node.node, node.arg, None, False)
    if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return member(c, c.value(node.node), node.arg.value, NAME_OF_DICT)
    base = c.value(node.node)
    return _item_of(c, base, c.value(node.arg))


def _item_of(c: Compiler, base: Cell, index: Cell) -> Cell:
    """base[index]. Of a dict, what it has no key for is undefined, but for the names of its methods."""
    target, usual, end, missing = c.code.new_slot(), Label(), Label(), Label()
    c.code.emit(Op.JUMP_TEST, base, TESTS["mapping"], 0, usual)
    c.code.emit(Op.JUMP_TEST, index, NO_KEYS, 1, missing)
    c.code.emit(Op.JUMP_TEST, index, types(TEXT), 0, usual)
    c.code.emit(Op.ITEM, target, base, index, ITEM_GET)
    c.code.emit(Op.JUMP_TEST, target, TESTS["defined"], 1, end)
    c.code.emit(Op.JUMP_IN, index, c.code.constant(tuple(sorted(DICT_NAMES))), 1, usual)
    c.code.here(missing)
    c.code.emit(Op.MOVE, target, c.code.constant(UNDEFINED_VALUE))
    c.code.jump(end)
    c.code.here(usual)
    c.code.emit(Op.ITEM, target, base, index, 0)
    c.code.here(end)
    return target


def _comparison(c: Compiler, node: nodes.Compare) -> Cell:
    """One comparison, or a chain of them, which ends with the first that fails."""
    target, end = c.code.new_slot(), Label()
    left = c.value(node.expr)
    for number, operand in enumerate(node.ops):
        if number:
            c.code.emit(Op.JUMP_IF, target, 0, 0, end)
        right = c.value(operand.expr)
        _compare(c, operand.op, target, left, right)
        left = right
    c.code.here(end)
    return target


def _compare(c: Compiler, name: str, target: Slot, left: Cell, right: Cell) -> None:
    if name in ("eq", "ne"):
        c.code.emit(Op.EQUAL, target, left, right, int(name == "eq"))
    elif name in ("in", "notin"):
        c.code.emit(Op.IN, target, left, right, int(name == "in"))
    elif name in COMPARISONS:
        c.code.emit(Op.COMPARE, target, left, right, COMPARISONS.index(name))
    else:
        raise Unsupported(f"the comparison {name}")


def _negation(c: Compiler, node: nodes.Not) -> Cell:
    return c.new(Op.NOT, c.value(node.node))


def _test(c: Compiler, node: nodes.Test) -> Cell:
    name = TEST_NAMES.get(node.name, node.name)
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise Unsupported(f"the test {node.name} with other arguments")
    arguments = node.args or []
    if name in TESTS and not arguments:
        return c.new(Op.TEST, c.value(node.node), TESTS[name])
    if name in ("eq", "ne", "in", *COMPARISONS) and len(arguments) == 1:
        left = c.value(node.node)
        target, right = c.code.new_slot(), c.value(arguments[0])
        _compare(c, name, target, left, right)
        return target
    if name in ("odd", "even", "divisibleby") and len(arguments) == (name == "divisibleby"):
        value = c.value(node.node)
        divisor = c.value(arguments[0]) if arguments else c.code.constant(2)
        rest = c.new(Op.MOD, value, divisor)
        return c.new(Op.EQUAL, rest, c.code.constant(1 if name == "odd" else 0), 1)
    raise Unsupported(f"the test {node.name}")


def _choice_of_operands(c: Compiler, node: nodes.And | nodes.Or) -> Cell:
    target, end = c.new(Op.MOVE, c.value(node.left)), Label()
    c.code.emit(Op.JUMP_IF, target, 0, int(isinstance(node, nodes.Or)), end)
    c.guarded(node.right, target)
    c.code.here(end)
    return target


def _choice(c: Compiler, node: nodes.CondExpr) -> Cell:
    target, other, end = c.code.new_slot(), Label(), Label()
    c.condition(node.test, other, False)
    c.guarded(node.expr1, target)
    c.code.jump(end)
    c.code.here(other)
    if node.expr2 is None:
        c.code.emit(Op.MOVE, target, c.code.constant(UNDEFINED_VALUE))
    else:
        c.guarded(node.expr2, target)
    c.code.here(end)
    return target


def _sum(c: Compiler, node: nodes.Add) -> Cell:
    parts = operands(node)
    if any(is_safe(part) for part in parts):
        return c.new(Op.TO_TEXT, c.captured(lambda: write_safe_sum(c, parts)), 1)
    if not any(is_text(part) for part in parts):
        return _binary(Op.ADD)(c, node)
    return _either_sum(c, parts) if may_be_safe(c, parts) else c.captured(lambda: c.write(node))


def _either_sum(c: Compiler, parts: list[nodes.Node]) -> Cell:
    """A sum that is a safe text in the rows where one of its parts is."""
    safe, end, both = Label(), Label(), Label()
    kind = c.new(Op.MOVE, c.code.constant(False))

    def write() -> None:
        write_either_sum(c, parts, safe, end)
        c.code.here(safe)
        c.code.emit(Op.MOVE, kind, c.code.constant(True))
        c.code.here(end)

    target = c.captured(write)
    c.code.emit(Op.JUMP_IF, kind, 0, 0, both)
    c.code.emit(Op.TO_TEXT, target, target, 1)
    c.code.here(both)
    return target


def _concatenation(c: Compiler, node: nodes.Concat) -> Cell:
    return c.captured(lambda: c.write(node))


def _binary(op: Op) -> Callable[[Compiler, Any], Cell]:
    def value(c: Compiler, node: Any) -> Cell:
        left = c.value(node.left)
        return c.new(op, left, c.value(node.right))

    return value


def _minus(c: Compiler, node: nodes.Neg) -> Cell:
    return c.new(Op.SUB, c.code.constant(0), c.value(node.node))


def _plus(c: Compiler, node: nodes.Pos) -> Cell:
    return c.new(Op.ADD, c.value(node.node), c.code.constant(0))


def _list(c: Compiler, node: nodes.List | nodes.Tuple) -> Cell:
    """Members are worked out first: the list's cells must lie together."""
    values = [c.value(item) for item in node.items]
    target = c.new(Op.LIST, len(values), LIST if isinstance(node, nodes.List) else TUPLE)
    for value in values:
        c.code.emit(Op.PUSH, target, value)
    return target


def _dict(c: Compiler, node: nodes.Dict) -> Cell:
    if not all(is_constant(pair.key) for pair in node.items):
        raise Unsupported("a dict whose keys are no constants")
    keys = [constant_of(pair.key) for pair in node.items]
    if not all(type(key) is str for key in keys) or len(set(keys)) < len(keys):
        raise Unsupported("a dict whose keys are no texts, or come twice")
    values = [c.value(pair.value) for pair in node.items]
    target = c.new(Op.LIST, 2 * len(keys), DICT)
    for key, value in zip(keys, values, strict=True):
        c.code.emit(Op.PUSH_PAIR, target, c.code.constant(key), value)
    return target


def _call(c: Compiler, node: nodes.Call) -> Cell:
    if isinstance(node.node, nodes.Getattr):
        return call_method(c, node, node.node)
    if not isinstance(node.node, nodes.Name):
        raise Unsupported("a call of what is not a name")
    if c.is_function(node.node, "raise_exception"):
        for argument in node.args:
            c.value(argument)
        c.code.emit(Op.RAISE)
        return c.code.constant(UNDEFINED_VALUE)
    if c.is_function(node.node, "namespace"):
        return _namespace(c, node)
    if c.is_function(node.node, "strftime_now") and len(node.args) == 1 and is_constant(node.args[0]):
        form = constant_of(node.args[0])
        if not isinstance(form, str) or not is_plain_date(form):
            raise Unsupported("a date of a given width")
        return c.code.constant(c.strftime(form))
    if macros_named(c, node.node.name):
        return c.captured(lambda: call_macro(c, node))
    raise Unsupported(f"a call of {node.node.name}")


def _namespace(c: Compiler, node: nodes.Call) -> Cell:
    if node.args or node.dyn_args or node.dyn_kwargs:
        raise Unsupported("a namespace made of a dict")
    if any(pair.key.startswith("_") for pair in node.kwargs):
        raise Unsupported("a namespace with a name that starts with an underscore")
    values = [(c.attribute(pair.key), c.value(pair.value)) for pair in node.kwargs]
    target = c.new(Op.NAMESPACE, len(c.attributes))
    for number, value in values:
        c.code.emit(Op.SET_ATTRIBUTE, target, number, value)
    return target


def _range(c: Compiler, node: nodes.Call) -> Cell | None:
    """range(...) or the pairs of a dict that was noted, where they are gone over."""
    if isinstance(node.node, nodes.Getattr) and node.node.attr == "items" and not node.args:
        return pairs_of(c, node.node.node, False)
    if not c.is_function(node.node, "range") or not 1 <= len(node.args) <= 3 or node.kwargs or node.dyn_args:
        return None
    values = [c.value(argument) for argument in node.args]
    if len(values) == 1:
        values.insert(0, c.code.constant(0))
    if len(values) == 2:
        values.append(c.code.constant(1))
    return c.new(Op.RANGE, c.consecutive(values))


VALUES: Mapping[type, Callable[[Compiler, Any], Cell]] = {
    nodes.Name: _name,
    nodes.Getattr: _attribute,
    nodes.Getitem: _item,
    nodes.Compare: _comparison,
    nodes.Not: _negation,
    nodes.Test: _test,
    nodes.And: _choice_of_operands,
    nodes.Or: _choice_of_operands,
    nodes.CondExpr: _choice,
    nodes.Add: _sum,
    nodes.Sub: _binary(Op.SUB),
    nodes.Mul: _binary(Op.MUL),
    nodes.Mod: _binary(Op.MOD),
    nodes.FloorDiv: _binary(Op.DIV),
    nodes.Neg: _minus,
    nodes.Pos: _plus,
    nodes.Concat: _concatenation,
    nodes.List: _list,
    nodes.Tuple: _list,
    nodes.Dict: _dict,
    nodes.Call: _call,
    nodes.Filter: filtered,
}
ITERABLES: Mapping[type, Callable[[Compiler, Any], Cell | None]] = {
    nodes.Call: _range,
    nodes.Filter: iterable_filter,
}
