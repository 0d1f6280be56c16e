"""The guard that is always on: some rows of each program are rendered with Jinja itself and compared.

Of the rows that a program gets over the whole run, the 1st, 8th, 64th, 512th ... are compared: its first
row always, and later ones now and then. A difference is a fault of Forge and stops the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.errors import TemplateError
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64
from forge_gpu.templates.conversations import Conversation, Conversations
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.jinja_rows import render_fields
from forge_gpu.templates.program import pack
from forge_gpu.templates.renderer import Bound
from forge_gpu.templates.tracing.fields import Compiled, Refusal

SHOWN = 60


class Counted(Protocol):
    """A program, or what else makes rows; it knows how many it has made."""

    rows: int


class Guard:
    """Compares programs with Jinja. Counts the rows of each."""

    def __init__(self, template: ChatTemplate, split: bool) -> None:
        self.template = template
        self.split = split
        self.compared = 0
        self._rows: list[int] = []

    def bound(self, result: Counted, rows: I64) -> list[int]:
        """Note which rows of a program are to be compared once their chunk is bound, and give them."""
        due = [int(rows[at]) for at in _due(result.rows, len(rows))]
        self._rows += due
        result.rows += len(rows)
        return due

    def refused(self, result: Refusal, rows: I64, conversations: Conversations) -> None:
        """Compare refusals at once."""
        for at in _due(result.rows, len(rows)):
            row = int(rows[at])
            self._compare((f"refused: {conversations.detail(row)}",), conversations.read(row), row)
        result.rows += len(rows)

    def evaluated(self, result: Compiled, texts: tuple[str, ...], conversation: Conversation) -> None:
        """Compare a row that was evaluated in Python."""
        if _due(result.rows, 1):
            self._compare(texts, conversation, None)
        result.rows += 1

    def check(
        self, bound: Bound, sides: Sequence[tuple[Conversations, tuple[str, ...]]], engine: Engine
    ) -> None:
        """Render the rows noted, by the engine, and compare them; sides: conversations and their fields."""
        if not self._rows:
            return
        rows, self._rows = np.array(sorted(self._rows), np.int64), []
        names = dict.fromkeys(name for _, fields in sides for name in fields)
        texts = {name: _rendered(bound, name, rows, engine) for name in names}
        for conversations, fields in sides:
            for number, row in enumerate(rows.tolist()):
                given = tuple(texts[name][number] for name in fields)
                self._compare(given, conversations.read(row), row)

    def _compare(self, texts: tuple[str, ...], conversation: Conversation, row: int | None) -> None:
        self.compared += 1
        try:
            expected = render_fields(self.template, conversation, self.split)
        except Refused as refused:
            expected = (f"refused: {refused}",)
        if texts != expected:
            raise TemplateError(*difference(expected, texts, row))


def _rendered(bound: Bound, name: str, rows: I64, engine: Engine) -> list[str]:
    """A field of some rows, by the engine."""
    used, index = np.unique(bound.program[name][rows], return_inverse=True)
    table = pack([bound.programs[number] for number in used.tolist()], bound.message_columns)
    program = np.full(len(bound.reason), -1, np.int32)
    program[rows] = index
    columns = [bound.columns[column] for column in table.columns]
    text = engine.render(table, program, columns, rows, layout.AS_TEXT, bound.first)
    return [text.row(number).decode() for number in range(len(rows))]


def _due(before: int, rows: int) -> list[int]:
    """Which of `rows` further rows, after `before`, are the 1st, 8th, 64th, 512th ... in all."""
    due = []
    power = 8 ** ((before.bit_length() + 2) // 3)  # the first that is more than `before`
    while power <= before + rows:
        due.append(power - 1 - before)
        power *= 8
    return due


def difference(expected: tuple[str, ...], got: tuple[str, ...], row: int | None) -> tuple[str, str]:
    """One line about the first place where two renderings differ, and the end of it, which quotes them."""
    left, right = "\x1e".join(expected), "\x1e".join(got)
    at = next((i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(left), len(right)) if at is None else at
    begin = max(0, at - SHOWN // 2)
    where = "" if row is None else f" (row {row} of a chunk)"
    return (
        f"a compiled program of the chat template differs from Jinja at character {at}{where}; "
        "set model.compile to false to render row by row, and report this template",
        f": Jinja writes {left[begin : at + SHOWN]!r}, the program {right[begin : at + SHOWN]!r}",
    )
