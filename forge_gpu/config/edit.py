"""Some values of a plan's text changed, and every other line left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from forge_gpu.config.layers import Layer, build
from forge_gpu.config.parse import Parsed, parse
from forge_gpu.config.schema import Config
from forge_gpu.config.write import INDENT, comment_lines, dumps
from forge_gpu.errors import ConfigError


def edited(text: str, values: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """The text of a plan with other values, by dotted key, each with its reason above it.

    Where lines alone cannot say it, as in a section in braces, the whole plan is written anew. Raises
    ConfigError where the text is no plan, or would be none.
    """
    parsed = parse(text, "")
    after = build([Layer(parsed.values), Layer(nested_of(values))]).config
    made = text
    for key, value in values.items():
        made = _with_value(made, tuple(key.split(".")), value, reasons.get(key))
    return made if _says(made, after) else dumps(after, reasons)


def nested_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key, as a plan has them."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = value
    return nested


def _says(text: str, config: Config) -> bool:
    try:
        parsed = parse(text, "")
        return not parsed.faults and build([Layer(parsed.values)]).config == config
    except ConfigError:
        return False


def _with_value(text: str, path: tuple[str, ...], value: Any, reason: str | None) -> str:
    """The text with one value, where its key stands or at the end of its section."""
    lines, parsed = text.rstrip("\n").split("\n"), parse(text, "")
    if path in parsed.lines:
        begin = parsed.lines[path] - 1
        end = _end(lines, begin)
        while reason and begin and lines[begin - 1].startswith(" " * INDENT * (len(path) - 1) + "#"):
            begin -= 1
    else:
        begin = end = _after_section(lines, parsed, path)
    new = [" " * INDENT * (len(path) - 1) + line for line in _entry(path, value, reason)]
    return "\n".join([*lines[:begin], *new, *lines[end:]]) + "\n"


def _entry(path: tuple[str, ...], value: Any, reason: str | None) -> list[str]:
    """The lines of a key, as they stand in a section that is not indented. A value of JSON is one of YAML."""
    return [*comment_lines(reason or "", len(path) - 1), f"{path[-1]}: {orjson.dumps(value).decode()}"]


def _end(lines: list[str], begin: int) -> int:
    """The line after the value that begins in a line."""
    indent = _indent(lines[begin])
    end = begin + 1
    while end < len(lines) and (_indent(lines[end]) > indent or lines[end].startswith(" " * indent + "- ")):
        end += 1
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _after_section(lines: list[str], parsed: Parsed, path: tuple[str, ...]) -> int:
    """Where a key that is not there goes: right below the line of its section, else at the end, where the
    whole is written anew."""
    line = parsed.lines.get(path[:-1])
    return len(lines) if line is None else line
