"""Filters. Those that give an iterator to Python have code only where it is gone over at once."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import (
    DICT,
    FLOAT,
    ITEM_END,
    LIST,
    NAME_NOT_DICT,
    NONE,
    TESTS,
    TEXT,
    TUPLE,
    Op,
    types,
)
from forge_gpu.templates.vm.code import Cell, Label, Slot, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, constant_of, is_constant
from forge_gpu.templates.vm.loops import go_over
from forge_gpu.templates.vm.methods import (
    CAPITALIZED,
    LOWER,
    TITLE_FILTER,
    UPPER,
    filled,
    percent_pieces,
)
from forge_gpu.templates.vm.other_keys import pairs_of
from forge_gpu.templates.vm.output import write_json

Handler = Callable[[Compiler, nodes.Filter], Cell]
CASES = {"lower": LOWER, "upper": UPPER, "capitalize": CAPITALIZED, "title": TITLE_FILTER}
EQUALS = ("equalto", "eq", "==")


def filtered(c: Compiler, node: nodes.Filter) -> Cell:
    handler = FILTERS.get(node.name)
    if handler is None or node.dyn_args or node.dyn_kwargs:
        raise Unsupported(f"the filter {node.name}")
    return handler(c, node)


def iterable_filter(c: Compiler, node: nodes.Filter) -> Cell | None:
    handler = ITERABLE_FILTERS.get(node.name)
    if handler is None:
        return None
    if node.dyn_args or node.dyn_kwargs:
        raise Unsupported(f"the filter {node.name}")
    return handler(c, node)


def _base(c: Compiler, node: nodes.Filter) -> Cell:
    """What is filtered: a value, or the text of the block that the filter stands at."""
    return c.block_value[-1] if node.node is None else c.value(node.node)


def _iterated(c: Compiler, node: nodes.Filter) -> Cell:
    return c.block_value[-1] if node.node is None else c.iterable(node.node)


def _arguments(node: nodes.Filter, *names: str) -> list[nodes.Expr | None]:
    """A filter's arguments by name; None for those that are not given. Raises Unsupported for others."""
    given: dict[str, nodes.Expr] = dict(zip(names, node.args, strict=False))
    if len(node.args) > len(names) or any(pair.key not in names or pair.key in given for pair in node.kwargs):
        raise Unsupported(f"the filter {node.name} with other arguments")
    given.update((str(pair.key), pair.value) for pair in node.kwargs)
    return [given.get(name) for name in names]


def _text(c: Compiler, node: nodes.Filter) -> Cell:
    return c.new(Op.TO_TEXT, _base(c, node), 0)


def _string(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return _text(c, node)


def _safe(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return c.new(Op.TO_TEXT, _base(c, node), 1)


def _trim(c: Compiler, node: nodes.Filter) -> Cell:
    (chars,) = _arguments(node, "chars")
    text = _text(c, node)
    none = chars is None or (is_constant(chars) and constant_of(chars) is None)
    return c.new(Op.STRIP, text, 3, -1 if none or chars is None else c.value(chars))


def _case(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return c.new(Op.CASE, _text(c, node), CASES[node.name])


def _replace(c: Compiler, node: nodes.Filter) -> Cell:
    old, new, count = _arguments(node, "old", "new", "count")
    if old is None or new is None or count is not None:
        raise Unsupported("the filter replace with a limit")
    text = _text(c, node)
    one = c.new(Op.TO_TEXT, c.value(old), 0)
    return c.new(Op.REPLACE, text, one, c.new(Op.TO_TEXT, c.value(new), 0))


def _length(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return c.new(Op.LENGTH, _base(c, node))


def _json(c: Compiler, node: nodes.Filter) -> Cell:
    return c.captured(lambda: write_json(c, node))


def _int(c: Compiler, node: nodes.Filter) -> Cell:
    """What cannot be a number is 0, or the default that is given."""
    (default,) = _arguments(node, "default")
    value = _base(c, node)
    otherwise = c.code.constant(0) if default is None else c.value(default)
    target, end, one, text = c.new(Op.MOVE, value), Label(), Label(), Label()
    c.code.emit(Op.JUMP_TEST, value, TESTS["integer"], 1, end)
    c.code.emit(Op.JUMP_TEST, value, TESTS["true"], 1, one)
    c.code.emit(Op.JUMP_TEST, value, types(TEXT, FLOAT), 1, text)
    c.code.emit(Op.MOVE, target, c.code.constant(0))
    c.code.emit(Op.JUMP_TEST, value, TESTS["boolean"], 1, end)
    c.code.emit(Op.MOVE, target, otherwise)
    c.code.emit(Op.JUMP_TEST, value, types(NONE, LIST, TUPLE, DICT), 1, end)
    c.code.fail("the filter int of other values")
    c.code.here(text)
    c.code.emit(Op.TO_INT, target, value, otherwise)
    c.code.jump(end)
    c.code.here(one)
    c.code.emit(Op.MOVE, target, c.code.constant(1))
    c.code.here(end)
    return target


def _format(c: Compiler, node: nodes.Filter) -> Cell:
    """A constant format with nothing but %s."""
    form = constant_of(node.node) if node.node is not None and is_constant(node.node) else None
    if not isinstance(form, str) or node.kwargs:
        raise Unsupported("the filter format of other values")
    pieces = percent_pieces(form, len(node.args))
    return filled(c, pieces, [c.value(argument) for argument in node.args])


def _or_empty(c: Compiler, node: nodes.Filter) -> Cell:
    """What map and select go over: nothing where it is false, whatever its type."""
    return c.new(Op.DEFAULT, _iterated(c, node), c.code.constant(()), 1)


def _default(c: Compiler, node: nodes.Filter) -> Cell:
    value, boolean = _arguments(node, "default_value", "boolean")
    if boolean is not None and not is_constant(boolean):
        raise Unsupported("the filter default with a condition that is no constant")
    falsy = boolean is not None and bool(constant_of(boolean))
    base = _base(c, node)
    return c.new(Op.DEFAULT, base, c.code.constant("") if value is None else c.value(value), int(falsy))


def _first(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    base = _iterated(c, node) if node.name == "first" else _base(c, node)
    return c.new(Op.ITEM, base, c.code.constant(0 if node.name == "first" else -1), ITEM_END)


def _list(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return c.new(Op.TO_LIST, _iterated(c, node))


def _join(c: Compiler, node: nodes.Filter) -> Cell:
    between, attribute = _arguments(node, "d", "attribute")
    if attribute is not None:
        raise Unsupported("the filter join with an attribute")
    source = _iterated(c, node)
    text = c.code.constant("") if between is None else c.value(between)
    return c.new(Op.JOIN, source, c.new(Op.TO_TEXT, text, 0), 0)


def _items(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return c.new(Op.ITEMS, _base(c, node), 1)


def _dictsort(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    known = pairs_of(c, node.node, True)
    if known is not None:
        return known
    return c.new(Op.SORT, _base(c, node))


def _reverse(c: Compiler, node: nodes.Filter) -> Cell:
    _arguments(node)
    return c.new(Op.REVERSE, _iterated(c, node))


def _attribute_name(node: nodes.Expr | None) -> str:
    name = constant_of(node) if node is not None and is_constant(node) else None
    if not isinstance(name, str) or "." in name or name.isdigit() or name.startswith("__"):
        raise Unsupported("an attribute that is no plain name")
    return name


def _member_of(c: Compiler, element: Cell, name: str) -> Cell:
    """element[name], as the filters map and selectattr ask for it."""
    if name in c.attributes:
        raise Unsupported("an attribute that namespaces have too")
    flags = NAME_NOT_DICT if hasattr(str, name) or hasattr(list, name) or hasattr(dict, name) else 0
    return c.new(Op.MEMBER, element, c.code.constant(name), flags | (2 if hasattr(dict, name) else 0))


def _jump_unless(
    c: Compiler, value: Cell, test: str | None, arguments: list[Cell], passes: bool, skip: Label
) -> None:
    """Jump where a value does not pass a test (`passes`), or does."""
    if test is None:
        c.code.emit(Op.JUMP_IF, value, 0, int(not passes), skip)
    elif test in TESTS and not arguments:
        c.code.emit(Op.JUMP_TEST, value, TESTS[test], int(not passes), skip)
    elif test in (*EQUALS, "ne", "!=") and len(arguments) == 1:
        equal = test in EQUALS
        c.code.emit(Op.JUMP_EQUAL, value, arguments[0], int(equal != passes), skip)
    elif test == "in" and len(arguments) == 1:
        c.code.emit(Op.JUMP_IN, value, arguments[0], int(not passes), skip)
    else:
        raise Unsupported(f"select by the test {test}")


def _select(c: Compiler, node: nodes.Filter) -> Cell:
    """select, reject, selectattr, rejectattr."""
    by_attribute = node.name.endswith("attr")
    if node.kwargs or (by_attribute and not node.args):
        raise Unsupported(f"the filter {node.name} with other arguments")
    name = _attribute_name(node.args[0]) if by_attribute else None
    rest = node.args[1:] if by_attribute else node.args
    if rest and not is_constant(rest[0]):
        raise Unsupported("select by a test that is no constant")
    test = constant_of(rest[0]) if rest else None
    source = _or_empty(c, node)
    arguments = [c.value(argument) for argument in rest[1:]]
    target = c.new(Op.LIST_LIKE, source, 0)

    def each(element: Slot) -> None:
        value = element if name is None else _member_of(c, element, name)
        skip = Label()
        _jump_unless(c, value, test, arguments, node.name.startswith("select"), skip)
        c.code.emit(Op.PUSH, target, element)
        c.code.here(skip)

    go_over(c, source, each)
    return target


def _map(c: Compiler, node: nodes.Filter) -> Cell:
    """map(attribute=...), map('trim') and the like."""
    source = _or_empty(c, node)
    if not node.args and [pair.key for pair in node.kwargs] == ["attribute"]:
        name = _attribute_name(node.kwargs[0].value)

        def apply(element: Cell) -> Cell:
            return _member_of(c, element, name)

    elif len(node.args) == 1 and not node.kwargs and is_constant(node.args[0]):
        inner = nodes.Filter(None, constant_of(node.args[0]), [], [], None, None)
        if inner.name not in FILTERS:
            raise Unsupported(f"map by the filter {inner.name}")

        def apply(element: Cell) -> Cell:
            c.block_value.append(element)
            try:
                return filtered(c, inner)
            finally:
                c.block_value.pop()

    else:
        raise Unsupported("the filter map with other arguments")
    target = c.new(Op.LIST_LIKE, source, 0)
    go_over(c, source, lambda element: c.code.emit(Op.PUSH, target, apply(element)))
    return target


FILTERS: dict[str, Handler] = {
    "tojson": _json,
    "trim": _trim,
    "length": _length,
    "count": _length,
    "string": _string,
    "safe": _safe,
    "lower": _case,
    "upper": _case,
    "capitalize": _case,
    "title": _case,
    "replace": _replace,
    "join": _join,
    "list": _list,
    "first": _first,
    "last": _first,
    "default": _default,
    "d": _default,
    "dictsort": _dictsort,
    "int": _int,
    "format": _format,
}
ITERABLE_FILTERS: dict[str, Handler] = {
    "items": _items,
    "select": _select,
    "reject": _select,
    "selectattr": _select,
    "rejectattr": _select,
    "map": _map,
    "reverse": _reverse,
}
