"""The values of the template VM as Python values: the plain meaning of cells.

None, bool, int, float, str, Markup, list, tuple and dict are themselves. An int of more than 18 digits, which
the machine only spells, is a BigInt. What the machine does not know raises ToJinja.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Never

from markupsafe import Markup

from forge_gpu.kernels import vm_layout as layout
from forge_gpu.kernels.reference.grammar import Fault, value_end
from forge_gpu.kernels.vm_layout import VmProgram
from forge_gpu.plain import frozen

Value = Any


class ToJinja(Exception):
    """The row is Jinja's."""


class Raised(Exception):
    """The template refuses the row."""


@frozen
class Undefined:
    given: bool = True
    """False: an argument of a macro that a call left out."""


class BigInt(int):
    """An integer of more than 18 digits."""


@frozen
class Macro:
    number: int


@frozen
class Function:
    pass


@dataclass(eq=False)
class Namespace:
    attributes: list[Value]


@dataclass(eq=False)
class Items:
    """The pairs of a dict."""

    pairs: list[tuple[str, Value]]


@dataclass(eq=False)
class View:
    """What can be gone over but is no list to Python."""

    members: list[Value] = field(default_factory=list)


UNDEFINED = Undefined()
_FLOAT = re.compile(r"-?(\d+)\.(\d+)")
_SCIENTIFIC = re.compile(r"-?[1-9](?:\.(\d*[1-9]))?e([+-]\d{2,3})")
_TYPES: dict[type, int] = {
    Undefined: layout.UNDEFINED,
    type(None): layout.NONE,
    bool: layout.BOOL,
    int: layout.INT,
    BigInt: layout.BIGINT,
    float: layout.FLOAT,
    str: layout.TEXT,
    Markup: layout.SAFE,
    list: layout.LIST,
    tuple: layout.TUPLE,
    dict: layout.DICT,
    Items: layout.ITEMS,
    View: layout.VIEW,
    Namespace: layout.NAMESPACE,
    Macro: layout.MACRO,
    Function: layout.FUNCTION,
}


def type_of(value: Value) -> int:
    return _TYPES[type(value)]


def parse(text: bytes) -> Value:
    """A JSON text as strictly as the scanner takes it; ToJinja for what the machine does not take."""
    text = text.strip(b" \t\r\n")
    try:
        if value_end(text, 0) != len(text):
            raise ToJinja
    except Fault:
        raise ToJinja from None
    try:
        return json.loads(
            text,
            parse_int=_parse_int,
            parse_float=_parse_float,
            object_pairs_hook=_parse_object,
        )
    except (ValueError, RecursionError):
        raise ToJinja from None


def _parse_int(digits: str) -> int:
    size = len(digits.lstrip("-"))
    if size > 4000:
        raise ToJinja
    return int(digits) if size <= 18 else BigInt(digits)


def _parse_float(digits: str) -> float:
    """A float that Python spells as it stands there, and that this can be told without working it out."""
    scientific = _SCIENTIFIC.fullmatch(digits)
    usual = scientific and len(scientific[1] or "") < 15 and abs(int(scientific[2])) <= 300
    if usual and repr(float(digits)) == digits:
        return float(digits)
    match = _FLOAT.fullmatch(digits)
    if not match or len(match[1] + match[2]) > 15 or (len(match[2]) > 1 and match[2].endswith("0")):
        raise ToJinja
    if not int(match[1]) and match[2].startswith("0000"):
        raise ToJinja
    return float(digits)


def _parse_object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    if len(pairs) > layout.MAX_MEMBERS:
        raise ToJinja
    if any(_has_half_pair(key) for key, _ in pairs):
        raise ToJinja
    return dict(pairs)


def _has_half_pair(text: str) -> bool:
    return any(0xD800 <= ord(character) < 0xE000 for character in text)


def without_half_pairs(value: Value) -> Value:
    """The value itself; ToJinja where a text in it has half a surrogate pair."""
    if isinstance(value, str) and _has_half_pair(value):
        raise ToJinja
    for member in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        without_half_pairs(member)
    return value


def constants_of(program: VmProgram) -> list[Value]:
    """The values of a program's constant cells."""
    cells = program.constants.reshape(-1, 2).tolist()
    bits, mask = layout.TYPE_BITS, layout.TYPES - 1

    def text(a: int, n: int) -> str:
        return str(json.loads(b'"' + program.literals[a : a + n] + b'"'))

    def value(cell: int) -> Value:
        a, n, kind = cells[cell][0], cells[cell][1] >> bits, cells[cell][1] & mask
        if kind == layout.UNDEFINED:
            return Undefined(given=not a)
        if kind in (layout.LIST, layout.TUPLE):
            members = [value(a + k) for k in range(n)]
            return members if kind == layout.LIST else tuple(members)
        if kind == layout.DICT:
            return {value(a + 2 * k): value(a + 2 * k + 1) for k in range(n)}
        simple = {
            layout.NONE: lambda: None,
            layout.BOOL: lambda: bool(a),
            layout.INT: lambda: a,
            layout.BIGINT: lambda: BigInt(text(a, n)),
            layout.FLOAT: lambda: float(text(a, n)),
            layout.TEXT: lambda: text(a, n),
            layout.SAFE: lambda: Markup(text(a, n)),
            layout.MACRO: lambda: Macro(a),
            layout.FUNCTION: Function,
        }
        return simple[kind]()

    return [value(cell) for cell in range(len(cells))]


def truth(value: Value) -> bool:
    if isinstance(value, Undefined):
        return False
    if isinstance(value, Items):
        return bool(value.pairs)
    return bool(value.members) if isinstance(value, View) else bool(value)


def passes(value: Value, mask: int) -> bool:
    if not mask >> type_of(value) & 1:
        return False
    if mask & layout.IS_TRUE:
        return value is True
    return value is False if mask & layout.IS_FALSE else True


def equal(one: Value, other: Value) -> bool:
    """one == other; ToJinja where only Python's own objects know."""
    kind, second = type_of(one), type_of(other)
    if isinstance(one, str) and isinstance(other, str):
        return str(one) == str(other)
    integers = (layout.BOOL, layout.INT)
    if kind in integers and second in integers:
        return bool(one == other)
    if layout.BOOL <= kind <= layout.FLOAT and layout.BOOL <= second <= layout.FLOAT:
        if kind != second:
            raise ToJinja
        return bool(one == other)
    if max(kind, second) >= layout.ITEMS:
        if min(kind, second) <= layout.SAFE:
            return False
        raise ToJinja
    if kind != second:
        return False
    if isinstance(one, dict):
        if len(one) != len(other):
            return False
        return one is other or _all_equal([(value, other.get(key, _MISSING)) for key, value in one.items()])
    if isinstance(one, list | tuple):
        return len(one) == len(other) and (one is other or _all_equal(list(zip(one, other, strict=True))))
    return True


_MISSING = object()


def _all_equal(pairs: list[tuple[Value, Value]]) -> bool:
    """Pairs are compared from the last one on, as the machine does with its stack."""
    if any(other is _MISSING for _, other in pairs):
        return False
    return all(equal(one, other) for one, other in reversed(pairs))


def contains(value: Value, within: Value) -> bool:
    if isinstance(within, dict):
        if isinstance(value, str):
            return str(value) in within
        if type_of(value) <= layout.FLOAT:
            return False
        return unknown()
    if isinstance(within, str):
        return str(value) in str(within) if isinstance(value, str) else unknown()
    if isinstance(within, list | tuple | View):
        members = within.members if isinstance(within, View) else within
        return any(equal(value, member) for member in members)
    return False if isinstance(within, Undefined) else unknown()


def compare(one: Value, other: Value, which: int) -> bool:
    integers = (bool, int)
    if not (type(one) in integers and type(other) in integers):
        if not (isinstance(one, str) and isinstance(other, str)):
            return unknown()
        one, other = str(one), str(other)
    return bool((one < other, one <= other, one > other, one >= other)[which])


def unknown() -> Never:
    raise ToJinja
