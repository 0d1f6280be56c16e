"""Methods of texts and dicts."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import ITEM_GET, Op
from forge_gpu.templates.vm.code import Cell, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant
from forge_gpu.templates.vm.other_keys import member_of, noted

LOWER, UPPER, CAPITALIZED, TITLE_FILTER, TITLE = range(5)
SIDES = {"strip": 3, "lstrip": 1, "rstrip": 2}


def call_method(c: Compiler, node: nodes.Call, method: nodes.Getattr) -> Cell:
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise Unsupported(f"the method {method.attr} with named arguments")
    if method.attr == "get" and 1 <= len(node.args) <= 2 and noted(c, method.node) is not None:
        return member_of(c, method.node, node.args[0], next(iter(node.args[1:]), None), True)
    if method.attr == "format":
        return _format(c, node, method)
    handler, least, most = METHODS.get(method.attr, (None, 0, 0))
    if handler is None or not least <= len(node.args) <= most:
        raise Unsupported(f"the method {method.attr}")
    return handler(c, c.value(method.node), method.attr, node.args)


Handler = Callable[[Compiler, Cell, str, list[nodes.Expr]], Cell]


def _strip(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    return c.new(Op.STRIP, base, SIDES[name], c.value(arguments[0]) if arguments else -1)


def _split(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    between: Cell | int = -1
    if arguments and not (is_constant(arguments[0]) and constant_of(arguments[0]) is None):
        between = c.value(arguments[0])
    most = -1
    if len(arguments) > 1:
        if not is_constant(arguments[1]) or type(constant_of(arguments[1])) is not int:
            raise Unsupported("split with a limit that is no constant")
        most = max(constant_of(arguments[1]), -1)
    return c.new(Op.SPLIT, base, between, most)


def _affix(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    return c.new(Op.AFFIX, base, c.value(arguments[0]), int(name == "endswith"))


def _replace(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    old = c.value(arguments[0])
    return c.new(Op.REPLACE, base, old, c.value(arguments[1]))


def _case(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    how = {"lower": LOWER, "upper": UPPER, "capitalize": CAPITALIZED, "title": TITLE}[name]
    return c.new(Op.CASE, base, how)


def _items(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    return c.new(Op.ITEMS, base, 0)


def _parts(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    return c.new(Op.KEYS, base, int(name == "values"))


def _get(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    key = c.value(arguments[0])
    default = c.value(arguments[1]) if len(arguments) == 2 else c.code.constant(None)
    result = c.new(Op.ITEM, base, key, ITEM_GET)
    return c.new(Op.DEFAULT, result, default, 0)


def _join(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    return c.new(Op.JOIN, c.iterable(arguments[0]), base, 1)


def _format(c: Compiler, node: nodes.Call, method: nodes.Getattr) -> Cell:
    """A constant format with nothing but {}."""
    form = constant_of(method.node) if is_constant(method.node) else None
    pieces = form.split("{}") if isinstance(form, str) else []
    if len(pieces) != len(node.args) + 1 or "{" in "".join(pieces) or "}" in "".join(pieces):
        raise Unsupported("the method format")
    return filled(c, pieces, [c.value(argument) for argument in node.args])


def filled(c: Compiler, pieces: list[str], values: list[Cell]) -> Cell:
    """The text of pieces with str() of a value between each two."""

    def write() -> None:
        for number, piece in enumerate(pieces):
            if number:
                c.code.emit(Op.WRITE, values[number - 1])
            c.code.write_literal(piece)

    return c.captured(write)


def percent_pieces(form: str, count: int) -> list[str]:
    """The pieces of a format between so many %s. Raises Unsupported for any other format."""
    pieces = [piece.replace("%%", "") for piece in form.split("%s")]
    if "%" in "".join(pieces) or len(pieces) != count + 1 or "%%s" in form:
        raise Unsupported("a format of other than %s")
    return [piece.replace("%%", "%") for piece in form.split("%s")]


def _count(c: Compiler, base: Cell, name: str, arguments: list[nodes.Expr]) -> Cell:
    """Of a text: one less than the pieces between what is counted."""
    pieces = c.new(Op.SPLIT, base, c.value(arguments[0]), -1)
    return c.new(Op.SUB, c.new(Op.LENGTH, pieces), c.code.constant(1))


METHODS: dict[str, tuple[Handler, int, int]] = {
    "strip": (_strip, 0, 1),
    "lstrip": (_strip, 0, 1),
    "rstrip": (_strip, 0, 1),
    "split": (_split, 0, 2),
    "startswith": (_affix, 1, 1),
    "endswith": (_affix, 1, 1),
    "replace": (_replace, 2, 2),
    "lower": (_case, 0, 0),
    "upper": (_case, 0, 0),
    "capitalize": (_case, 0, 0),
    "title": (_case, 0, 0),
    "items": (_items, 0, 0),
    "keys": (_parts, 0, 0),
    "values": (_parts, 0, 0),
    "get": (_get, 1, 2),
    "join": (_join, 1, 1),
    "count": (_count, 1, 1),
}
