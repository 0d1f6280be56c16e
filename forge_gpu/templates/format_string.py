"""Format strings: literals and `{column}`, with `{{` and `}}` for braces. Nothing else is allowed.

No attribute, index, conversion or format specification: a template is data, and braces in the data of a
row never matter.
"""

from __future__ import annotations

from forge_gpu.errors import TemplateError
from forge_gpu.templates.program import Literal, Program, Slot, TrainedMark


def parse(template: str) -> Program:
    """The program of a format string; its columns are named as in the braces.

    Raises TemplateError with the position (line and column, from 1) of the first fault.
    """
    broken = next((i for i, character in enumerate(template) if "\ud800" <= character <= "\udfff"), None)
    if broken is not None:
        raise _fault(template, broken, "half a surrogate pair", "save the template as UTF-8")
    parts: list[Literal | Slot] = []
    text: list[str] = []
    i = 0
    while i < len(template):
        character = template[i]
        if template[i : i + 2] in ("{{", "}}"):
            text.append(character)
            i += 2
        elif character == "{":
            end = template.find("}", i)
            name = _column(template, i, end)
            if text:
                parts.append(Literal("".join(text).encode()))
                text = []
            parts.append(Slot(name))
            i = end + 1
        elif character == "}":
            raise _fault(template, i, "a single '}'", "write '}}' for a brace")
        else:
            text.append(character)
            i += 1
    if text:
        parts.append(Literal("".join(text).encode()))
    return tuple(parts)


def columns_of(program: Program) -> tuple[str, ...]:
    """The columns that a program names, in order, each once."""
    return tuple(
        dict.fromkeys(part.column for part in program if not isinstance(part, Literal | TrainedMark))
    )


def _column(template: str, start: int, end: int) -> str:
    if end < 0:
        raise _fault(template, start, "a '{' without its '}'", "write '{{' for a brace")
    name = template[start + 1 : end]
    if not name or name.isspace():
        raise _fault(template, start, "an empty '{}'", "name a column in it, or write '{{}}' for braces")
    if "{" in name:
        raise _fault(template, start, f"{name!r}, a brace inside braces", "write '{{' for a brace")
    for mark, what in (("!", "a conversion"), (":", "a format specification"), ("[", "an index")):
        if mark in name:
            raise _fault(template, start, f"'{{{name}}}' with {what}", f"write '{{{name.split(mark)[0]}}}'")
    if "." in name:
        raise _fault(template, start, f"'{{{name}}}' with an attribute", f"write '{{{name.split('.')[0]}}}'")
    if name != name.strip():
        raise _fault(template, start, f"'{{{name}}}' with spaces", f"write '{{{name.strip()}}}'")
    if name.isdecimal():
        raise _fault(template, start, f"'{{{name}}}', a position", "write the column's name")
    return name


def _fault(template: str, i: int, what: str, advice: str) -> TemplateError:
    line = template.count("\n", 0, i) + 1
    column = i - template.rfind("\n", 0, i)
    return TemplateError(f"template, line {line}, column {column}: {what} is not allowed; {advice}")
