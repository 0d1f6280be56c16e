"""What the VM's operations do to Python values: the plain meaning of `kernels/cpu/vm_text.py`, `vm_lists.py`,
`vm_json.py` and `vm_write.py`. ToJinja where the machine gives a row up."""

from __future__ import annotations

import json
import operator
import re

from jinja2.filters import do_title
from markupsafe import Markup

from forge_gpu.kernels import vm_layout as layout
from forge_gpu.kernels.reference.vm_values import (
    UNDEFINED,
    Items,
    Namespace,
    ToJinja,
    Undefined,
    Value,
    View,
    truth,
    type_of,
    unknown,
)
from forge_gpu.kernels.vm_tables import other_case

LARGE, FACTOR = 1 << 60, 1 << 30
LONGEST_RANGE = 100_000
_LIKE_STR = (str, Markup)
_BLANK = " \n\t\r\f"
_NUMBER = re.compile(r"[ \n\t\r\f]*[+-]?(\d*)(?:\.(\d*))?[ \n\t\r\f]*", re.ASCII)
_IN_NO_NUMBER = re.compile(r"[^-+._0-9aefintyAEFINTY \n\t\r\f\0-\7\v\x0e-\x1f\x7f-\U0010ffff]")
"""A character that neither int() nor float() takes anywhere; control characters and those that are not ASCII
are Jinja's."""


def is_int(*values: Value) -> bool:
    return all(type(value) is int for value in values)


def is_plain(*values: Value) -> bool:
    """Are all of them texts, none of them a safe one?"""
    return all(type(value) is str for value in values)


def text_of(value: Value) -> str:
    """str() of a value."""
    if isinstance(value, Undefined):
        return ""
    if isinstance(value, str):
        return str(value)
    if type_of(value) > layout.DICT or not _has_plain_repr(value):
        raise ToJinja
    return str(value)


def _has_plain_repr(value: Value, depth: int = 0) -> bool:
    if isinstance(value, list | tuple | dict):
        members = value.values() if isinstance(value, dict) else value
        return depth < layout.MAX_STRUCTURE and all(_has_plain_repr(member, depth + 1) for member in members)
    return depth == 0 or (not isinstance(value, Undefined | Markup) and type_of(value) <= layout.DICT)


def json_of(value: Value, indent: int, flags: int) -> str:
    comma = "," if flags & layout.JSON_TIGHT_COMMA else ", "
    colon = ":" if flags & layout.JSON_TIGHT_COLON else ": "
    if not _is_json(value):
        raise ToJinja
    return json.dumps(
        value,
        ensure_ascii=bool(flags & layout.JSON_ASCII),
        indent=None if indent < 0 else indent,
        separators=(comma, colon),
        sort_keys=bool(flags & layout.JSON_SORTED),
    )


def _is_json(value: Value, depth: int = 0) -> bool:
    if isinstance(value, list | tuple | dict):
        members = value.values() if isinstance(value, dict) else value
        return depth < layout.MAX_STRUCTURE and all(_is_json(member, depth + 1) for member in members)
    return not isinstance(value, Undefined) and type_of(value) <= layout.DICT


def member(base: Value, name: str, flags: int) -> Value:
    if isinstance(base, dict):
        if name in base:
            return base[name]
        return unknown() if flags & layout.NAME_OF_DICT else UNDEFINED
    if isinstance(base, Namespace):
        number = (flags >> layout.NAME_FLAGS) - 1
        return base.attributes[number] if number >= 0 else UNDEFINED
    if isinstance(base, Undefined) or flags & layout.NAME_NOT_DICT or type_of(base) > layout.TUPLE:
        raise ToJinja
    return UNDEFINED


def item(base: Value, index: Value, flags: int) -> Value:
    if isinstance(base, dict) and is_plain(index) and not flags & layout.ITEM_END:
        if index in base:
            return base[index]
        return UNDEFINED if flags & layout.ITEM_GET else unknown()
    if not is_int(index) or flags & layout.ITEM_GET:
        raise ToJinja
    if isinstance(base, View) and flags & layout.ITEM_END:
        base = base.members
    if type(base) not in (list, tuple, str):
        raise ToJinja
    return base[index] if -len(base) <= index < len(base) else UNDEFINED


def slice_of(base: Value, bounds: list[Value]) -> Value:
    if type(base) not in (list, tuple, str) or not all(value is None or is_int(value) for value in bounds):
        raise ToJinja
    step = 1 if bounds[2] is None else bounds[2]
    if step == 0 or (step != 1 and isinstance(base, str)):
        raise ToJinja
    return base[slice(*bounds)]


def add(one: Value, other: Value) -> Value:
    if is_int(one, other):
        return one + other if max(abs(one), abs(other)) <= LARGE else unknown()
    if type(one) is type(other) and type(one) in (list, tuple, str):
        return one + other
    raise ToJinja


def arithmetic(op: layout.Op, one: Value, other: Value) -> int:
    if not is_int(one, other) or max(abs(one), abs(other)) > FACTOR:
        raise ToJinja
    if op in (layout.Op.MOD, layout.Op.DIV) and other <= 0:
        raise ToJinja
    operation = {
        layout.Op.SUB: operator.sub,
        layout.Op.MUL: operator.mul,
        layout.Op.MOD: operator.mod,
        layout.Op.DIV: operator.floordiv,
    }[op]
    return int(operation(one, other))


def length(value: Value) -> int:
    if isinstance(value, Undefined):
        return 0
    if isinstance(value, Items):
        return len(value.pairs)
    if isinstance(value, View):
        return len(value.members)
    return len(value) if isinstance(value, str | list | tuple | dict) else unknown()


def strip(text: Value, sides: int, characters: Value) -> str:
    """characters: None for white space."""
    if characters is None:
        if type(text) not in _LIKE_STR:
            raise ToJinja
    elif not is_plain(text, characters):
        raise ToJinja
    method = {1: "lstrip", 2: "rstrip", 3: "strip"}[sides]
    return _like(text, getattr(str(text), method)(characters))


def split(text: Value, between: Value, most: int) -> list[str]:
    """between: None for white space."""
    if not is_plain(text) or not (between is None or is_plain(between)):
        raise ToJinja
    if between == "" or (between is None and most >= 0):
        raise ToJinja
    return list(text.split(between, most))


def affix(text: Value, other: Value, at_end: int) -> bool:
    if type(text) not in _LIKE_STR or type(other) not in _LIKE_STR:
        raise ToJinja
    return str(text).endswith(str(other)) if at_end else str(text).startswith(str(other))


def replace(text: Value, old: Value, new: Value) -> str:
    return str(text).replace(old, new) if is_plain(text, old, new) and old else unknown()


def change_case(text: Value, how: int) -> str:
    """how: 0 lower, 1 upper, 2 capitalized, 3 jinja's title, 4 str.title."""
    if type(text) not in _LIKE_STR or (how == 4 and not text.isascii()):
        raise ToJinja
    begins = True
    for character in str(text):
        if character >= "\x80" and other_case(character, how == 1 or (how >= 2 and begins)) is None:
            raise ToJinja
        begins = how == 3 and (character.isspace() or character in "-({[<")
    change = (str.lower, str.upper, str.capitalize, do_title, str.title)[how]
    return _like(text, change(str(text)))


def to_int(value: Value, default: Value) -> Value:
    """int() of a text or a float, cut off at the point; what is no number is `default`."""
    if type(value) not in (str, float):
        raise ToJinja
    text = str(value)
    number = _NUMBER.fullmatch(text)
    if number and len(number[1] + (number[2] or "")) in range(1, 16 if number[2] is not None else 19):
        return int(float(text)) if number[2] is not None else int(text)
    return default if not text.strip(_BLANK) or _IN_NO_NUMBER.search(text) else unknown()


def _like(text: Value, result: str) -> str:
    """A text of the type that another has."""
    return Markup(result) if isinstance(text, Markup) else result


def join(source: Value, between: Value, texts_only: int) -> str:
    members = source.members if isinstance(source, View) else source
    if not is_plain(between) or not isinstance(members, list | tuple):
        raise ToJinja
    if texts_only and not is_plain(*members):
        raise ToJinja
    return str(between).join(text_of(value) for value in members)


def members_of(value: Value) -> list[Value]:
    """What a loop goes over: pairs of Items as tuples."""
    if isinstance(value, Undefined):
        return []
    if isinstance(value, Items):
        return [pair for pair in value.pairs]
    if isinstance(value, View):
        return value.members
    return list(value) if type(value) in (list, tuple, dict, str) else unknown()


def range_of(bounds: list[Value]) -> View:
    if not is_int(*bounds) or bounds[2] == 0 or max(map(abs, bounds)) > LARGE:
        raise ToJinja
    numbers = range(*bounds)
    return View(list(numbers)) if len(numbers) <= LONGEST_RANGE else unknown()


def dictsort(value: Value) -> Items:
    if not isinstance(value, dict) or not all(key.isascii() for key in value):
        raise ToJinja
    return Items(sorted(value.items(), key=lambda pair: pair[0].lower()))


def default(value: Value, other: Value, falsy: int) -> Value:
    return other if isinstance(value, Undefined) or (falsy and not truth(value)) else value
