"""The code of a template, run for one row on Python values: the plain meaning of `kernels/cpu/vm_run.py`.

Without the bounds: the kernel may give a row up for want of fuel or room that runs here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from markupsafe import Markup

from forge_gpu.kernels.reference import vm_operations as do
from forge_gpu.kernels.reference.vm_messages import prepare_messages, prompt_of
from forge_gpu.kernels.reference.vm_values import (
    UNDEFINED,
    Items,
    Macro,
    Namespace,
    Raised,
    ToJinja,
    Undefined,
    Value,
    View,
    compare,
    constants_of,
    contains,
    equal,
    parse,
    passes,
    truth,
    unknown,
    without_half_pairs,
)
from forge_gpu.kernels.vm_layout import (
    DICT,
    LIST,
    LOOP_VALUES,
    MARK_TURN,
    MAX_CALLS,
    TUPLE,
    Op,
    Variable,
    VmProgram,
)
from forge_gpu.plain import mutable

Row = dict[Variable, bytes | None]
"""The JSON text of each variable; None where a row has none."""


@mutable
class _Loop:
    members: list[Value]
    at: int = 0
    pairs: bool = False


@mutable
class Run:
    """One run: cells, what is written, and the places of marks in it, in characters."""

    program: VmProgram
    cells: list[Value]
    written: list[str] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)
    messages: list[Value] = field(default_factory=list)
    current: int = -1
    calls: list[int] = field(default_factory=list)
    saved: list[list[Value]] = field(default_factory=list)
    place: int = 0

    @property
    def position(self) -> int:
        return sum(map(len, self.written))

    def write(self, text: str) -> None:
        self.written.append(text)

    def take_back(self, begin: int) -> str:
        """What was written since `begin`, in characters."""
        text = "".join(self.written)
        self.written = [text[:begin]]
        return text[begin:]


def run(program: VmProgram, row: Row, limit: int = -1) -> tuple[str, list[tuple[int, int]]]:
    """(text of a row, its marks: (place in characters, MARK_...)). limit: how many of its messages the
    template is given, -1: all. Raises ToJinja, Raised."""
    constants = constants_of(program)
    cells: list[Value] = [*constants, *[None] * (program.cells - len(constants))]
    first, count = program.renamed
    renamed = {cells[first + 2 * k]: cells[first + 2 * k + 1] for k in range(count)}
    for what, cell, default in program.variables:
        cells[cell] = _variable(what, row.get(what), cells[default], renamed)
        if what != Variable.TOOLS and limit >= 0:
            cells[cell] = cells[cell][:limit]
    given = [cells[cell] for what, cell, _ in program.variables if what != Variable.TOOLS]
    result = Run(program, cells, messages=given[0] if isinstance(given[0], list) else [])
    code = program.code.reshape(-1, 5).tolist()
    while True:
        op, a, b, c, d = code[result.place]
        result.place += 1
        if op == Op.END:
            return "".join(result.written), result.marks
        OPERATIONS.get(op, _fail)(result, a, b, c, d)


def _variable(what: Variable, text: bytes | None, default: Value, renamed: dict[str, str]) -> Value:
    if text is None or text.strip(b" \t\r\n") == b"null":
        return default
    value = without_half_pairs(parse(text))
    if what in (Variable.MESSAGES, Variable.PROMPT):
        messages = prepare_messages(value, renamed)
        return messages if what == Variable.MESSAGES else prompt_of(messages)
    if isinstance(value, str):
        if not value.strip():
            return default
        value = without_half_pairs(parse(value.encode()))
        return default if value is None else value
    return value


def _fail(m: Run, *_: int) -> None:
    raise ToJinja


def _raise(m: Run, *_: int) -> None:
    raise Raised


def _jump(m: Run, d: int, condition: bool) -> None:
    if condition:
        m.place = d


def _loop(m: Run, a: int, b: int, c: int, d: int) -> None:
    source = m.cells[b]
    m.cells[a] = _Loop(do.members_of(source), 0, isinstance(source, Items))
    _jump(m, d, not m.cells[a].members)


def _next(m: Run, a: int, b: int, c: int, d: int) -> None:
    loop = m.cells[a]
    if loop.at + 1 < len(loop.members):
        loop.at += 1
        m.cells[a + 1] = loop.at
        m.place = d


def _element(m: Run, a: int, b: int, c: int, d: int) -> None:
    m.cells[a + 1] = m.cells[a].at
    m.cells[b] = m.cells[a].members[m.cells[a].at]


def _pair(m: Run, a: int, b: int, c: int, d: int) -> None:
    m.cells[a + 1] = m.cells[a].at
    member = m.cells[a].members[m.cells[a].at]
    if type(member) not in (list, tuple) or len(member) != 2:
        raise ToJinja
    m.cells[b], m.cells[c] = member


def _loop_value(m: Run, a: int, b: int, c: int, d: int) -> None:
    loop = m.cells[a]
    count, at = len(loop.members), loop.at
    m.cells[b] = {
        "index0": at,
        "index": at + 1,
        "first": at == 0,
        "last": at == count - 1,
        "length": count,
        "revindex": count - at,
        "revindex0": count - at - 1,
        "previtem": loop.members[at - 1] if at > 0 else UNDEFINED,
        "nextitem": loop.members[at + 1] if at + 1 < count else UNDEFINED,
    }[LOOP_VALUES[c]]


def _round(m: Run, a: int, b: int, c: int, d: int) -> None:
    if c == 1:
        m.cells[a] = m.current
        return
    element = m.cells[a]
    numbers = [k for k, message in enumerate(m.messages) if message is element]
    now = element if c == 2 else numbers[0] if numbers else m.current
    if now != m.current:
        m.current = now
        m.marks.append((m.position, MARK_TURN + 1 + now))


def _call(m: Run, a: int, b: int, c: int, d: int) -> None:
    if len(m.calls) >= MAX_CALLS:
        raise ToJinja
    m.calls.append(m.place)
    m.place = d


def _return(m: Run, *_: int) -> None:
    m.place = m.calls.pop()


def _restore(m: Run, a: int, b: int, c: int, d: int) -> None:
    m.cells[a:b] = m.saved.pop()


def _write_text(m: Run, a: int, b: int, c: int, d: int) -> None:
    m.write(m.cells[a] if do.is_plain(m.cells[a]) else unknown())


def _to_text(m: Run, a: int, b: int, c: int, d: int) -> None:
    value = m.cells[b]
    text = value if isinstance(value, str) else do.text_of(value)
    m.cells[a] = Markup(text) if c else text


def _set_attribute(m: Run, a: int, b: int, c: int, d: int) -> None:
    if not isinstance(m.cells[a], Namespace):
        raise ToJinja
    m.cells[a].attributes[b] = m.cells[c]


def _list(m: Run, a: int, b: int, c: int, d: int) -> None:
    m.cells[a] = {LIST: list, TUPLE: tuple, DICT: dict}[c]()


def _list_like(m: Run, a: int, b: int, c: int, d: int) -> None:
    source = m.cells[b]
    if not isinstance(source, Undefined | list | tuple | dict | Items | View) and not do.is_plain(source):
        raise ToJinja
    m.cells[a] = Items([]) if c else View([])


def _push(m: Run, a: int, b: int, c: int, d: int) -> None:
    target = m.cells[a]
    if isinstance(target, tuple):
        m.cells[a] = (*target, m.cells[b])
    else:
        (target.members if isinstance(target, View) else target).append(m.cells[b])


def _push_pair(m: Run, a: int, b: int, c: int, d: int) -> None:
    target = m.cells[a]
    if isinstance(target, dict):
        target[m.cells[b]] = m.cells[c]
    else:
        target.pairs.append((m.cells[b], m.cells[c]))


def _items(value: Value, of_undefined: int) -> Items:
    if isinstance(value, dict):
        return Items(list(value.items()))
    return Items([]) if of_undefined and isinstance(value, Undefined) else unknown()


def _keys(value: Value, values: int) -> View:
    if not isinstance(value, dict):
        raise ToJinja
    return View(list(value.values() if values else value))


def _reverse(value: Value) -> View:
    members = value.members if isinstance(value, View) else value
    return View(members[::-1]) if isinstance(members, list) else _reversed_tuple(members)


def _reversed_tuple(value: Value) -> View:
    return View(list(value[::-1])) if isinstance(value, tuple) else unknown()


def _set(make: Callable[[Run, int, int, int], Any]) -> Callable[[Run, int, int, int, int], None]:
    """The operation a = make(b, c, d)."""

    def operation(m: Run, a: int, b: int, c: int, d: int) -> None:
        m.cells[a] = make(m, b, c, d)

    return operation


def _optional(m: Run, cell: int) -> Value:
    """A cell's value, which must be a text; None for cell -1."""
    return None if cell < 0 else m.cells[cell] if do.is_plain(m.cells[cell]) else unknown()


def _arithmetic(op: Op) -> Callable[[Run, int, int, int, int], None]:
    return _set(lambda m, b, c, d: do.arithmetic(op, m.cells[b], m.cells[c]))


OPERATIONS: dict[int, Callable[[Run, int, int, int, int], None]] = {
    Op.RAISE: _raise,
    Op.JUMP: lambda m, a, b, c, d: _jump(m, d, True),
    Op.JUMP_IF: lambda m, a, b, c, d: _jump(m, d, truth(m.cells[a]) == c),
    Op.JUMP_EQUAL: lambda m, a, b, c, d: _jump(m, d, equal(m.cells[a], m.cells[b]) == c),
    Op.JUMP_IN: lambda m, a, b, c, d: _jump(m, d, contains(m.cells[a], m.cells[b]) == c),
    Op.JUMP_TEST: lambda m, a, b, c, d: _jump(m, d, passes(m.cells[a], b) == c),
    Op.JUMP_GIVEN: lambda m, a, b, c, d: _jump(m, d, m.cells[a] != Undefined(given=False)),
    Op.JUMP_MACRO: lambda m, a, b, c, d: _jump(m, d, m.cells[a] == Macro(c)),
    Op.CALL: _call,
    Op.RETURN: _return,
    Op.SAVE: lambda m, a, b, c, d: m.saved.append(m.cells[a:b]),
    Op.RESTORE: _restore,
    Op.LOOP: _loop,
    Op.NEXT: _next,
    Op.ELEMENT: _element,
    Op.PAIR: _pair,
    Op.LOOP_VALUE: _loop_value,
    Op.WRITE: lambda m, a, b, c, d: m.write(do.text_of(m.cells[a])),
    Op.WRITE_TEXT: _write_text,
    Op.WRITE_JSON: lambda m, a, b, c, d: m.write(do.json_of(m.cells[a], b, c)),
    Op.CAPTURE: _set(lambda m, b, c, d: m.position),
    Op.CAPTURED: _set(lambda m, b, c, d: m.take_back(m.cells[b])),
    Op.MARK: lambda m, a, b, c, d: m.marks.append((m.position, a)),
    Op.ROUND: _round,
    Op.MEMO: lambda m, a, b, c, d: None,
    Op.MEMO_END: lambda m, a, b, c, d: None,
    Op.MOVE: _set(lambda m, b, c, d: m.cells[b]),
    Op.MEMBER: _set(lambda m, b, c, d: do.member(m.cells[b], m.cells[c], d)),
    Op.ITEM: _set(lambda m, b, c, d: do.item(m.cells[b], m.cells[c], d)),
    Op.SLICE: _set(lambda m, b, c, d: do.slice_of(m.cells[b], m.cells[c : c + 3])),
    Op.EQUAL: _set(lambda m, b, c, d: equal(m.cells[b], m.cells[c]) == d),
    Op.IN: _set(lambda m, b, c, d: contains(m.cells[b], m.cells[c]) == d),
    Op.COMPARE: _set(lambda m, b, c, d: compare(m.cells[b], m.cells[c], d)),
    Op.TEST: _set(lambda m, b, c, d: passes(m.cells[b], c)),
    Op.NOT: _set(lambda m, b, c, d: not truth(m.cells[b])),
    Op.ADD: _set(lambda m, b, c, d: do.add(m.cells[b], m.cells[c])),
    Op.SUB: _arithmetic(Op.SUB),
    Op.MUL: _arithmetic(Op.MUL),
    Op.MOD: _arithmetic(Op.MOD),
    Op.DIV: _arithmetic(Op.DIV),
    Op.DEFAULT: _set(lambda m, b, c, d: do.default(m.cells[b], m.cells[c], d)),
    Op.NAMESPACE: _set(lambda m, b, c, d: Namespace([UNDEFINED] * b)),
    Op.SET_ATTRIBUTE: _set_attribute,
    Op.TO_TEXT: _to_text,
    Op.STRIP: _set(lambda m, b, c, d: do.strip(m.cells[b], c, _optional(m, d))),
    Op.LENGTH: _set(lambda m, b, c, d: do.length(m.cells[b])),
    Op.SPLIT: _set(lambda m, b, c, d: do.split(m.cells[b], _optional(m, c), d)),
    Op.AFFIX: _set(lambda m, b, c, d: do.affix(m.cells[b], m.cells[c], d)),
    Op.REPLACE: _set(lambda m, b, c, d: do.replace(m.cells[b], m.cells[c], m.cells[d])),
    Op.CASE: _set(lambda m, b, c, d: do.change_case(m.cells[b], c)),
    Op.TO_INT: _set(lambda m, b, c, d: do.to_int(m.cells[b], m.cells[c])),
    Op.JOIN: _set(lambda m, b, c, d: do.join(m.cells[b], m.cells[c], d)),
    Op.LIST: _list,
    Op.LIST_LIKE: _list_like,
    Op.PUSH: _push,
    Op.PUSH_PAIR: _push_pair,
    Op.RANGE: _set(lambda m, b, c, d: do.range_of(m.cells[b : b + 3])),
    Op.ITEMS: _set(lambda m, b, c, d: _items(m.cells[b], c)),
    Op.KEYS: _set(lambda m, b, c, d: _keys(m.cells[b], c)),
    Op.TO_LIST: _set(lambda m, b, c, d: list(do.members_of(m.cells[b]))),
    Op.SORT: _set(lambda m, b, c, d: do.dictsort(m.cells[b])),
    Op.REVERSE: _set(lambda m, b, c, d: _reverse(m.cells[b])),
}
