"""Paths into a record, wherever a column is named: `data.messages`, `messages[0].content`, `choices[*].text`.

A name is a key of the record first; where a record has no such key it is a path. So a key that has a dot in
it is named as it is. `[0]` is an element of a list, `[-1]` its last, `[*]` all of them, as a list. A text
that is a JSON object or list, as a field of CSV may be, is followed into like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.members import scan_elements, scan_members
from forge_gpu.kernels.layout import Records, Spans
from forge_gpu.kernels.reference.members import LAST
from forge_gpu.records.values import ABSENT, chosen, json_text, spans_of, values_of

ALL = "*"
_STEP = re.compile(r"""(?:^|\.)([^.\[\]]+)|\[(-?\d+|\*)\]|\[(?:"([^"]+)"|'([^']+)')\]""")

Step = str | int
Steps = tuple[tuple[str, Step], ...]
"""("key", name), ("place", number), or ("all", ALL)."""


@lru_cache(maxsize=256)
def steps_of(name: str) -> Steps | None:
    """The steps of a path, the first a key; None where the name can be nothing but a key."""
    steps: list[tuple[str, Step]] = []
    at = 0
    while at < len(name):
        match = _STEP.match(name, at)
        if match is None:
            return None
        at = match.end()
        key, place, *quoted = match.groups()
        key = key or next((text for text in quoted if text), None)
        if key is not None:
            steps.append(("key", key))
        elif place == ALL:
            steps.append(("all", ALL))
        else:
            steps.append(("place", int(place)))
    return tuple(steps) if len(steps) > 1 and steps[0][0] == "key" else None


def quoted(name: str) -> str:
    """A key, or a path, as a path spells it."""
    return name if steps_of(f"x.{name}") is not None else f'["{name}"]'


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """What a name stands for in a record; ABSENT where there is nothing."""
    if name in record:
        return record[name]
    steps = steps_of(name)
    return ABSENT if steps is None else _followed(record, steps)


def root_of(name: str, keys: Iterable[str]) -> str:
    """The key of a record that a name begins at, of those there are."""
    steps = steps_of(name)
    return name if name in keys or steps is None else str(steps[0][1])


def _followed(value: Any, steps: Sequence[tuple[str, Step]]) -> Any:
    for number, (what, step) in enumerate(steps):
        value = json_text(value)
        if what == "key":
            value = value.get(step, ABSENT) if isinstance(value, Mapping) else ABSENT
        elif not isinstance(value, list):
            return ABSENT
        elif what == "all":
            return _all(value, steps[number + 1 :])
        else:
            assert isinstance(step, int)
            value = value[step] if -len(value) <= step < len(value) else ABSENT
        if value is ABSENT:
            return ABSENT
    return value


def _all(values: Sequence[Any], rest: Sequence[tuple[str, Step]]) -> list[Any]:
    """What the rest of a path gives in each element; lists of a second `[*]` in one."""
    result = [value for value in (_followed(each, rest) for each in values) if value is not ABSENT]
    return (
        [inner for value in result for inner in value] if any(what == "all" for what, _ in rest) else result
    )


class Paths:
    """The columns that a plan names, and the keys that have to be read for them."""

    def __init__(self, names: Iterable[str]) -> None:
        named = tuple(dict.fromkeys(names))
        self._steps = {name: steps for name in named if (steps := steps_of(name)) is not None}
        self.keys = tuple(dict.fromkeys((*named, *(str(steps[0][1]) for steps in self._steps.values()))))

    def __bool__(self) -> bool:
        return bool(self._steps)

    def resolved(self, records: Records) -> Records:
        """Records whose columns are what the names stand for. records: with all of `keys`."""
        if not self._steps:
            return records
        columns = dict(records.columns)
        for name, steps in self._steps.items():
            own = columns[name]
            is_absent = own.kind == layout.ABSENT
            if is_absent.any():
                columns[name] = chosen(~is_absent, own, _follow(columns[str(steps[0][1])], steps[1:]))
        return records.with_columns(columns)


def _follow(column: Spans, steps: Sequence[tuple[str, Step]]) -> Spans:
    for number, (what, step) in enumerate(steps):
        if what == "all" or (isinstance(step, int) and step < LAST):
            return spans_of(_followed(value, steps[number:]) for value in values_of(column))
        held = _holding_json(column)
        if what == "key":
            result = scan_members(column, (str(step),))[str(step)]
        else:
            result = scan_elements(column, int(step))
        if held.any():
            return chosen(
                ~held, _follow(result, steps[number + 1 :]), _in_texts(column, held, steps[number:])
            )
        column = result
    return column


def _holding_json(column: Spans) -> np.ndarray:
    """Which texts begin as a JSON object or list does."""
    is_text: np.ndarray = (column.kind >= layout.PLAIN) & (column.kind != layout.JSON) & (column.length > 0)
    if is_text.any():
        first = column.data[column.start[is_text]]
        is_text[is_text] = np.isin(first, np.frombuffer(b"{[ \t\r\n\\", np.uint8))
    return is_text


def _in_texts(column: Spans, held: np.ndarray, steps: Sequence[tuple[str, Step]]) -> Spans:
    values: list[Any] = [ABSENT] * len(column)
    rows = np.flatnonzero(held).tolist()
    for row, value in zip(rows, values_of(column, rows), strict=True):
        values[row] = _followed(value, steps)
    return spans_of(values)
