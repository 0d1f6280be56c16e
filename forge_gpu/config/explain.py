"""Faults that pydantic found, told in words of the schema: origin and key of a value, and what it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from forge_gpu.config import keys
from forge_gpu.config.expected import expected, inner

Origins = Mapping[keys.Path, str]


def explain(error: ValidationError, values: dict[str, Any], where: Origins) -> dict[keys.Path, list[str]]:
    """Faulty key -> its lines, in words of the schema: one for the value, or for each item that is amiss."""
    result: dict[keys.Path, list[str]] = {}
    places: dict[keys.Path, list[tuple[int | str, ...]]] = {}
    for fault in error.errors(include_url=False, include_context=False):
        if fault["type"] == "extra_forbidden":
            path = tuple(str(part) for part in fault["loc"])
            result[path] = [line(path, unknown(path), where)]
        else:
            path = _key_of(fault["loc"])
            places.setdefault(path, []).append(fault["loc"][len(path) :])
    for path, rests in places.items():
        value = _value_at(values, path)
        whole = f"must be {expected(keys.known()[path])} (it is {_short(value)})"
        result[path] = _item_lines(path, value, rests, where) or [line(path, whole, where)]
    return result


def _key_of(location: tuple[int | str, ...]) -> keys.Path:
    """The schema's key for pydantic's location, which goes on with items and names of union members."""
    path: keys.Path = ()
    for part in location:
        if (*path, str(part)) not in keys.known():
            break
        path = (*path, str(part))
    return path


def _value_at(values: Any, path: keys.Path) -> Any:
    for name in path:
        values = values[name]
    return values


def _item_lines(path: keys.Path, value: Any, rests: list[tuple[int | str, ...]], where: Origins) -> list[str]:
    """A line for each item of a list or mapping that is amiss; none where it is the value as a whole."""
    annotation = inner(keys.known()[path], type(value)) if isinstance(value, (list, dict)) else None
    if annotation is None:
        return []
    lines: list[str] = []
    for part in (part for rest in rests for part in rest):
        if isinstance(value, list) and isinstance(part, int):
            key, item = path, f"item {part + 1} "
        elif isinstance(value, dict) and part in value:
            key, item = (*path, str(part)), ""
        else:
            continue  # the name of a union's member
        lines.append(line(key, f"{item}must be {expected(annotation)} (it is {_short(value[part])})", where))
    return list(dict.fromkeys(lines))


def unknown(path: keys.Path) -> str:
    """What is said of a key that the schema does not know, with the one that was likely meant."""
    near = keys.nearest(path)
    hint = f"did you mean {near}?" if near else f"known there: {', '.join(keys.inside(path[:-1]))}"
    return f"unknown key; {hint}"


def line(path: keys.Path, message: str, where: Origins) -> str:
    """A message with its key, and the origin of the key or of the section that it stands in."""
    origin = next((where[path[:n]] for n in range(len(path), 0, -1) if path[:n] in where), None)
    key = ".".join(path)
    return f"{origin}: {key}: {message}" if origin else f"{key}: {message}"


def _short(value: Any) -> str:
    """A value as it may be shown: in part where it is long, without what is secret in it."""
    from forge_gpu.io.secrets import public

    plain = {True: "true", False: "false", None: "null"}
    text = plain[value] if value is None or isinstance(value, bool) else public(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."
