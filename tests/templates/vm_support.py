"""The template VM against Jinja, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered
from forge_gpu.kernels.layout import Spans
from forge_gpu.kernels.vm_layout import Outcome
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.functions import strftime_of
from forge_gpu.templates.records import tools_of
from forge_gpu.templates.values import ABSENT
from forge_gpu.templates.vm.program import CompiledTemplate, compile_program

Row = dict[str, Any]


def compiled(template: ChatTemplate) -> CompiledTemplate:
    date = strftime_of(template.date)
    return compile_program(template.environment, template.source, template.fixed, {}, date)


def column(values: Sequence[Any], ascii_escapes: bool) -> Spans:
    """Values as a scan of JSON lines gives them; a missing one is ABSENT, a text a body."""
    texts, kinds = [], []
    for value in values:
        text = "" if value is ABSENT else json.dumps(value, ensure_ascii=ascii_escapes)
        kind = layout.ABSENT if value is ABSENT else layout.NULL if value is None else layout.JSON
        if isinstance(value, str):
            text, kind = text[1:-1], layout.ESCAPED
        texts.append(b"" if kind in (layout.ABSENT, layout.NULL) else text.encode())
        kinds.append(kind)
    lengths = np.array([len(text) for text in texts], np.int64)
    data = np.frombuffer(b",\n ".join(texts), np.uint8)
    starts = np.cumsum(lengths + 3) - lengths - 3
    return Spans(data, starts, lengths, np.array(kinds, np.uint8))


def run(machine: Machine, rows: Sequence[Row], ascii_escapes: bool = False) -> Rendered:
    columns = [
        column([row["messages"] for row in rows], ascii_escapes),
        column([row.get("tools", ABSENT) for row in rows], ascii_escapes),
    ]
    return machine.run(columns, np.arange(len(rows)))


def without_nulls(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in message.items() if value is not None} for message in messages]


def by_jinja(template: ChatTemplate, row: Row) -> str | Refused:
    tools = tools_of(row.get("tools"))
    try:
        return template.render(Conversation(without_nulls(row["messages"]), tools))
    except Refused as refused:
        return refused


@dataclass
class Result:
    """Rows by what became of them. equal: the machine wrote what Jinja writes. given_up: it left a row to
    Jinja that renders. refused: by both. different: those that differ."""

    equal: int = 0
    given_up: int = 0
    refused: int = 0
    different: list[str] = None  # type: ignore[assignment]
    why: dict[str, int] = None  # type: ignore[assignment]


def compare(
    name: str, template: ChatTemplate, machine: Machine, program: CompiledTemplate, rows: Sequence[Row]
) -> Result:
    result = Result(different=[], why={})
    for ascii_escapes in (False, True):
        rendered = run(machine, rows, ascii_escapes)
        for number, row in enumerate(rows):
            required = by_jinja(template, row)
            outcome = rendered.outcome[number]
            if outcome == Outcome.DONE:
                text = json.loads(b'"' + rendered.text.raw(number) + b'"')
                body = isinstance(required, str) and json.dumps(required, ensure_ascii=False)[1:-1].encode()
                if body == rendered.text.raw(number):
                    result.equal += 1
                else:
                    result.different.append(f"{name}: {row}\n jinja   {required!r}\n machine {text!r}")
            elif isinstance(required, Refused):
                result.refused += 1
            else:
                if outcome == Outcome.RAISED:
                    result.different.append(f"{name}: {row}\n jinja   {required!r}\n machine refuses")
                result.given_up += 1
                why = program.why(int(rendered.place[number]))
                result.why[why] = result.why.get(why, 0) + 1
    return result
