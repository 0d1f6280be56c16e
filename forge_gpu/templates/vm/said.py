"""What users and the assistant said in rows that are not plain, by the machine: a template writes it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from forge_gpu.kernels.layout import I64, Spans
from forge_gpu.templates.conversations import Bools, Conversations
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.vm.texts import TextMachine

SOURCE = Path(__file__).parents[1] / "said.jinja"


class SaidMachine:
    """For one thread. renamed: roles that the user renames."""

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self._renamed = renamed
        self._machines: dict[str, TextMachine] = {}

    def said(self, conversations: Conversations, role: str, rows: I64) -> tuple[Bools, Spans]:
        """(rows whose texts are known, what was said in them): both of n rows. The texts live until the next
        call for the role."""
        if role not in self._machines:
            self._machines[role] = TextMachine(_template(role), False, self._renamed)
        texts = self._machines[role].of_spelled(conversations, rows)
        return texts.done, texts.fields[0]


@cache
def _template(role: str) -> ChatTemplate:
    return ChatTemplate(SOURCE.read_text("utf-8"), {}, {"asked": role})
