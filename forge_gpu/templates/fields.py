"""The renderer of texts that stand in columns of their own: built-ins, format strings, no template at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import I32, U8, Records, Spans
from forge_gpu.plain import mutable
from forge_gpu.templates.program import Literal, LiteralIfText, Part, Program, Slot
from forge_gpu.templates.renderer import Bound
from forge_gpu.templates.values import GOOD, has_text, lacking, missing, no_text


@mutable
class ColumnsRenderer:
    """One program a field, the same for every row.

    needed: columns whose null or absence refuses the row. refused: column -> why a row that has a text
    there is refused. contents: role -> column, for Bound.texts. texts: columns in which a list or an object
    refuses the row.
    """

    templates: dict[str, Program]
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    json_fields: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.programs: list[Program] = list(self.templates.values())

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.templates)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.needed, *self.optional, *self.refused)))

    def bind(self, records: Records, engine: Engine) -> Bound:
        reason = records.reason.copy()
        for column in self.needed:
            missing(reason, records.columns[column])
        for column in self.texts:
            no_text(reason, records.columns[column])
        for column in self.refused:
            reason[(reason == GOOD) & has_text(records.columns[column])] = Reason.TEMPLATE_REFUSED
        return Bound(
            programs=self.programs,
            program=constant_programs(self.fields, reason),
            columns=records.columns,
            reason=reason,
            make_texts=lambda: {role: records.columns[column] for role, column in self.contents.items()},
            detail=lambda row: self._detail(records.columns, reason, row),
        )

    def _detail(self, columns: dict[str, Spans], reason: U8, row: int) -> str:
        if reason[row] == Reason.TEMPLATE_REFUSED:
            return next(why for column, why in self.refused.items() if columns[column].length[row] > 0)
        named = dict.fromkeys((*self.needed, *self.texts))
        return lacking({name: columns[name] for name in named}, reason, row)


def constant_programs(fields: tuple[str, ...], reason: U8) -> dict[str, I32]:
    """Field i runs program i in every row that is not refused."""
    programs = {name: np.full(len(reason), index, np.int32) for index, name in enumerate(fields)}
    refused = np.flatnonzero(reason != GOOD)
    for program in programs.values():
        program[refused] = -1
    return programs


def substitute(program: Program, contents: Mapping[str, Program]) -> Program:
    """The program with the slots of each named column replaced by parts of its own."""
    return tuple(
        new
        for part in program
        for new in (contents.get(part.column, (part,)) if isinstance(part, Slot) else (part,))
    )


def query_parts(query: str, input_column: str | None) -> Program:
    """The query: an instruction, and its input after a newline where that is not empty."""
    if input_column is None:
        return (Slot(query),)
    return (Slot(query), LiteralIfText(b"\n", input_column), Slot(input_column))


def split_at(program: Program, column: str) -> tuple[Program, Program]:
    """What comes before the first slot of `column`, and the rest with it."""
    at = next(i for i, part in enumerate(program) if isinstance(part, Slot) and part.column == column)
    return program[:at], program[at:]


def append(program: Program, text: str) -> Program:
    """The program with a text at its end, unless it ends with that text already."""
    if not text or (
        program and isinstance(program[-1], Literal) and program[-1].text.endswith(text.encode())
    ):
        return program
    return (*program, Literal(text.encode()))


def message_list(messages: Iterable[tuple[str, Program]], system: str | None = None) -> Program:
    """A JSON list of {"role", "content"} messages, from each role and the slots of its content.

    system: a column; a system message comes first in the rows that have a text there.
    """
    parts: list[Part] = [Literal(b"[")]
    if system is not None:
        parts += [
            LiteralIfText(b'{"role": "system", "content": "', system),
            Slot(system),
            LiteralIfText(b'"}, ', system),
        ]
    for number, (role, content) in enumerate(messages):
        opening = b'{"role": ' + json.dumps(role, ensure_ascii=False).encode() + b', "content": "'
        parts.append(Literal((b", " if number else b"") + opening))
        parts += [_in_json(part) for part in content]
        parts.append(Literal(b'"}'))
    parts.append(Literal(b"]"))
    return tuple(parts)


def _in_json(part: Part) -> Part:
    """The newline between a query and its input, inside a JSON string."""
    return LiteralIfText(b"\\n", part.column) if isinstance(part, LiteralIfText) else part
