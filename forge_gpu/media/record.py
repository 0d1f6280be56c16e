"""A record as JSON with other values at some places; all else as it is spelled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.records.paths import steps_of
from forge_gpu.records.values import spelled_json


def spliced(record: bytes, values: Mapping[str, Any]) -> bytes:
    """values: by a key of the record, or a path into it."""
    roots = {name: str((steps_of(name) or (("key", name),))[0][1]) for name in values}
    names = tuple(dict.fromkeys((*values, *roots.values())))
    scanned = scan_records(np.frombuffer(record + b"\n", np.uint8), "lines", names, len(record) + 1)
    places: dict[tuple[int, int], bytes] = {}
    for name, value in values.items():
        own, root = scanned.columns[name], scanned.columns[roots[name]]
        if own.kind[0] != layout.ABSENT:
            places[_place(own)] = spelled_json(value)
        elif root.kind[0] == layout.JSON:
            place = _place(root)
            held = json.loads(places.get(place, record[slice(*place)]))
            _put(held, (steps_of(name) or ())[1:], value)
            places[place] = spelled_json(held)
    made, at = b"", 0
    for (begin, end), text in sorted(places.items()):
        made += record[at:begin] + text
        at = end
    return made + record[at:]


def _place(column: Any) -> tuple[int, int]:
    """Where a value begins and ends in the record, with the quotes of a text."""
    begin, end = int(column.start[0]), int(column.start[0] + column.length[0])
    return (begin - 1, end + 1) if column.kind[0] in layout.BODIES else (begin, end)


def _put(value: Any, steps: Sequence[tuple[str, Any]], new: Any) -> None:
    """Put a value at a path; nothing where the path leads nowhere, or to several places."""
    for number, (what, step) in enumerate(steps):
        is_there = what != "all" and (isinstance(value, dict) if what == "key" else isinstance(value, list))
        if not is_there:
            return
        if number == len(steps) - 1:
            value[step] = new
        else:
            value = value.get(step) if what == "key" else value[step]
