"""Values that are written: a sum of texts, a concatenation or a choice is written piece by piece, never
joined first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import JSON_ASCII, JSON_SORTED, JSON_TIGHT_COLON, JSON_TIGHT_COMMA, Op
from forge_gpu.templates.vm.code import Label, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant
from forge_gpu.templates.vm.macros import call_macro, macros_named
from forge_gpu.templates.vm.safe import is_safe, may_be_safe, write_either_sum, write_safe_sum

TEXT_FILTERS = frozenset(
    {"trim", "tojson", "string", "upper", "lower", "join", "title", "capitalize", "replace", "format"}
)
TEXT_METHODS = frozenset(
    {"strip", "lstrip", "rstrip", "upper", "lower", "replace", "join", "format", "title"}
)
JSON_ARGUMENTS = ("ensure_ascii", "indent", "separators", "sort_keys")
SEPARATORS = {
    (",", ":"): JSON_TIGHT_COMMA | JSON_TIGHT_COLON,
    (",", ": "): JSON_TIGHT_COMMA,
    (", ", ":"): JSON_TIGHT_COLON,
    (", ", ": "): 0,
}
MOST_INDENT = 64


def operands(node: nodes.Node) -> list[nodes.Node]:
    """a, b, c of a + b + c."""
    if isinstance(node, nodes.Add):
        return [*operands(node.left), *operands(node.right)]
    return [node]


def is_text(node: nodes.Node) -> bool:
    """Is a node a text whatever the row has? Then the others of a sum must be texts too."""
    if isinstance(node, nodes.Const):
        return isinstance(node.value, str)
    if isinstance(node, nodes.Filter):
        return node.name in TEXT_FILTERS
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        return node.node.attr in TEXT_METHODS
    return isinstance(node, nodes.Concat)


def _sum(c: Compiler, node: nodes.Add, strict: bool) -> bool:
    parts = operands(node)
    if not strict and any(is_safe(part) for part in parts):
        write_safe_sum(c, parts)
        return True
    if not any(is_text(part) for part in parts):
        return False
    if not strict and may_be_safe(c, parts):
        end = Label()
        write_either_sum(c, parts, end, end)
        c.code.here(end)
        return True
    for part in parts:
        c.write(part, strict=True)
    return True


def _concatenation(c: Compiler, node: nodes.Concat, strict: bool) -> bool:
    for part in node.nodes:
        c.write(part)
    return True


def _choice(c: Compiler, node: nodes.CondExpr, strict: bool) -> bool:
    other, end = Label(), Label()
    c.condition(node.test, other, False)
    c.attempt(lambda: c.write(node.expr1, strict))
    c.code.jump(end)
    c.code.here(other)
    if node.expr2 is not None:
        second = node.expr2
        c.attempt(lambda: c.write(second, strict))
    elif strict:
        c.code.fail("+ of something undefined")
    c.code.here(end)
    return True


def _filter(c: Compiler, node: nodes.Filter, strict: bool) -> bool:
    if node.name == "tojson":
        write_json(c, node)
        return True
    if node.name == "string" and node.node is not None and not strict and not node.args:
        c.write(node.node)
        return True
    return False


def _call(c: Compiler, node: nodes.Call, strict: bool) -> bool:
    if not isinstance(node.node, nodes.Name) or not macros_named(c, node.node.name):
        return False
    call_macro(c, node)
    return True


def write_json(c: Compiler, node: nodes.Filter) -> None:
    """Write the JSON of a value. Raises Unsupported for options that are not constants or not known."""
    options: dict[str, object] = {}
    if node.dyn_args or node.dyn_kwargs or len(node.args) > len(JSON_ARGUMENTS):
        raise Unsupported("tojson with other arguments")
    given = [*zip(JSON_ARGUMENTS, node.args, strict=False), *((pair.key, pair.value) for pair in node.kwargs)]
    for name, argument in given:
        if name not in JSON_ARGUMENTS or name in options or not is_constant(argument):
            raise Unsupported("tojson with other arguments")
        options[name] = constant_of(argument)
    indent, separators = options.get("indent"), options.get("separators")
    if indent is not None and not (type(indent) is int and 0 <= indent <= MOST_INDENT):
        raise Unsupported(f"tojson with indent={indent!r}")
    if separators is None:
        separators = (", ", ": ") if indent is None else (",", ": ")
    if not isinstance(separators, tuple | list) or tuple(separators) not in SEPARATORS:
        raise Unsupported("tojson with other separators")
    flags = SEPARATORS[tuple(separators)]
    flags |= JSON_ASCII if options.get("ensure_ascii", False) else 0
    flags |= JSON_SORTED if options.get("sort_keys", False) else 0
    value = c.block_value[-1] if node.node is None else c.value(node.node)
    c.code.emit(Op.WRITE_JSON, value, -1 if indent is None else indent, flags)


WRITERS: Mapping[type, Callable[[Compiler, Any, bool], bool]] = {
    nodes.Add: _sum,
    nodes.Concat: _concatenation,
    nodes.CondExpr: _choice,
    nodes.Filter: _filter,
    nodes.Call: _call,
}
