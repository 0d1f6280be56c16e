"""Macros and call blocks: code of their own that is called, with cells that are theirs.

A macro is a value that a name has; which macros of a template a name can mean is known, so a call asks the
name's cell which one it is. A macro that can call itself saves its cells around the call.
"""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import nodes
from jinja2.compiler import find_undeclared

from forge_gpu.kernels.vm_layout import Op
from forge_gpu.templates.vm.code import (
    NOT_GIVEN,
    UNDEFINED_VALUE,
    Cell,
    Label,
    MacroValue,
    Slot,
    Unsupported,
)
from forge_gpu.templates.vm.compiler import Compiler, Macro
from forge_gpu.templates.vm.frames import Frame

CALLER = "caller"


def macros_named(c: Compiler, name: str) -> bool:
    """Is a name one of the template's macros, or `caller`?"""
    return name in c.macro_nodes or (name == CALLER and bool(c.call_blocks))


def macro_of(c: Compiler, node: nodes.Macro | nodes.CallBlock) -> Macro | None:
    return next((macro for macro in c.macros if macro.node is node), None)


def define(c: Compiler, node: nodes.Macro | nodes.CallBlock) -> Macro:
    """Number a macro where it stands; its body is compiled after the rest of the template."""
    if c.frame.in_macro and isinstance(node, nodes.Macro):
        raise Unsupported("a macro inside a macro")
    if any(argument.name == CALLER for argument in node.args):
        raise Unsupported("a macro with an argument of the name caller")
    special = find_undeclared(node.body, (CALLER, "kwargs", "varargs"))
    if special - {CALLER}:
        raise Unsupported("a macro of any arguments")
    cells = c.code.new_slots(len(node.args) + 1)
    macro = Macro(len(c.macros), node, c.frame, Label(), cells, CALLER in special)
    c.macros.append(macro)
    return macro


def define_macro(c: Compiler, node: nodes.Macro) -> None:
    macro = define(c, node)
    c.code.emit(Op.MOVE, c.frame.variable(node.name), c.code.constant(MacroValue(macro.number)))


def call_block(c: Compiler, node: nodes.CallBlock) -> None:
    """`{% call(...) macro(...) %}` … `{% endcall %}`."""
    if not isinstance(node.call, nodes.Call) or not isinstance(node.call.node, nodes.Name):
        raise Unsupported("a call block of another call")
    if c.frame.in_macro and any(_calls_itself(c, macro.node) for macro in c.macros):
        raise Unsupported("a call block inside a macro that calls itself")
    body = define(c, node)
    call_macro(c, node.call, c.code.constant(MacroValue(body.number)))


def call_macro(c: Compiler, node: nodes.Call, caller: Cell | None = None) -> None:
    """Write what a macro gives. caller: what it finds under that name."""
    assert isinstance(node.node, nodes.Name)
    name = node.node.name
    cell = c.value(node.node)
    candidates = c.call_blocks if name == CALLER else c.macro_nodes[name]
    end = Label()
    for candidate in candidates:
        macro = macro_of(c, candidate)
        if macro is None:
            continue  # it stands behind this call, or has no code: the row is Jinja's
        this, other = Label(), Label()
        c.code.emit(Op.JUMP_MACRO, cell, 0, macro.number, this)
        c.code.jump(other)
        c.code.here(this)
        c.attempt(lambda macro=macro: _call(c, macro, node, caller))  # type: ignore[misc]
        c.code.jump(end)
        c.code.here(other)
    c.code.fail(f"a call of {name}, which is another macro here")
    c.code.here(end)


def _call(c: Compiler, macro: Macro, node: nodes.Call, caller: Cell | None) -> None:
    values = _arguments(c, macro, node)
    if caller is not None and not macro.uses_caller:
        raise Unsupported("a call block of a macro that does not call it")
    values.append(c.code.constant(UNDEFINED_VALUE) if caller is None else caller)
    recursive = _calls_itself(c, macro.node)
    if recursive:  # arguments may be made of the cells that are overwritten
        first = c.consecutive(values)
        values = [Slot(first.number + number) for number in range(len(values))]
        _both_ranges(c, macro, Op.SAVE)
    for number, value in enumerate(values):
        c.code.emit(Op.MOVE, macro.argument(number), value)
    c.code.emit(Op.CALL, 0, 0, 0, macro.entry)
    if recursive:
        _both_ranges(c, macro, Op.RESTORE)


def _arguments(c: Compiler, macro: Macro, node: nodes.Call) -> list[Cell]:
    """The arguments of a call in their order, NOT_GIVEN for those that it leaves out."""
    names = macro.parameters
    if node.dyn_args or node.dyn_kwargs or len(node.args) > len(names):
        raise Unsupported("a call with other arguments than its macro has")
    given: dict[str, Cell] = {}
    for name, argument in zip(names, node.args, strict=False):
        given[name] = c.value(argument)
    for pair in node.kwargs:
        if pair.key not in names or pair.key in given:
            raise Unsupported("a call with other arguments than its macro has")
        given[pair.key] = c.value(pair.value)
    return [given.get(name, c.code.constant(NOT_GIVEN)) for name in names]


def _both_ranges(c: Compiler, macro: Macro, op: Op) -> None:
    """SAVE or RESTORE the arguments and the cells of a macro's body, on one stack."""
    arguments = (macro.cells, Slot(macro.cells.number + len(macro.node.args) + 1))
    body = (lambda: Slot(macro.own[0]), lambda: Slot(macro.own[1]))
    for low, high in (arguments, body) if op == Op.SAVE else (body, arguments):
        c.code.emit(op, low, high)


def _called(c: Compiler, node: nodes.Node) -> Iterable[nodes.Node]:
    """The macros that a macro's body may call."""
    for call in node.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name):
            yield from c.call_blocks if call.node.name == CALLER else c.macro_nodes.get(call.node.name, [])


def _calls_itself(c: Compiler, node: nodes.Node) -> bool:
    left, seen = list(_called(c, node)), set()
    while left:
        called = left.pop()
        if called is node:
            return True
        if id(called) not in seen:
            seen.add(id(called))
            left += _called(c, called)
    return False


def compile_bodies(c: Compiler) -> None:
    """The code of all macros, those among them that bodies define included."""
    done = 0
    while done < len(c.macros):
        _body(c, c.macros[done])
        done += 1


def _body(c: Compiler, macro: Macro) -> None:
    c.code.here(macro.entry)
    first = c.code.slots
    frame: Frame = macro.frame.inner()
    frame.loop, frame.captures, frame.in_macro = None, 0, True
    frame.symbols.analyze_node(macro.node)
    for number, name in enumerate(macro.parameters):
        frame.cells[frame.symbols.ref(name)] = macro.argument(number)
    if macro.uses_caller:
        frame.cells[frame.symbols.declare_parameter(CALLER)] = macro.caller
        frame.symbols.analyze_node(macro.node)

    def body() -> None:
        with c.scope(frame):
            _defaults(c, macro)
            c.statements(macro.node.body)

    c.attempt(body)
    c.code.emit(Op.RETURN)
    macro.own = (first, c.code.slots)


def _defaults(c: Compiler, macro: Macro) -> None:
    node = macro.node
    for number in range(len(node.args)):
        cell, given = macro.argument(number), Label()
        c.code.emit(Op.JUMP_GIVEN, cell, 0, 0, given)
        default = number - len(node.args) + len(node.defaults)
        if default >= 0:
            c.guarded(node.defaults[default], cell)
        else:
            c.code.emit(Op.MOVE, cell, c.code.constant(UNDEFINED_VALUE))
        c.code.here(given)
