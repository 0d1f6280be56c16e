"""What users and the assistant said in each conversation, for quality checks and near-duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Spans, spans_of_offsets
from forge_gpu.templates.conversations import Bools, Conversations
from forge_gpu.templates.program import Literal, Program, Slot, pack
from forge_gpu.templates.records import BadRecord, Message, text_of
from forge_gpu.templates.renderer import merged, overlay

if TYPE_CHECKING:
    from forge_gpu.templates.vm.said import SaidMachine

CONTENT = "content"


ROLES = ("user", "assistant")
FEW = 32
"""Rows that are read in Python sooner than the machine's kernels are at hand."""


class Contents:
    """Gives contents by role, chunk after chunk; for one thread. renamed: roles that the user renames."""

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self._renamed = renamed

    @cached_property
    def _machine(self) -> SaidMachine:
        from forge_gpu.templates.vm.said import SaidMachine  # most jobs of plain chats never load its kernels

        return SaidMachine(self._renamed)

    def __call__(self, conversations: Conversations, engine: Engine) -> tuple[Spans, Spans]:
        """As `contents_by_role`; what it gives lives until the next call."""
        rows = np.flatnonzero((conversations.reason == Reason.NONE) & ~conversations.plain)
        if len(rows) < FEW:
            return contents_by_role(conversations, engine)
        said = [self._machine.said(conversations, role, rows) for role in ROLES]
        done = said[0][0] & said[1][0]
        given = contents_by_role(conversations, engine, done)
        return tuple(  # type: ignore[return-value]
            merged(column, texts, done) for column, (_, texts) in zip(given, said, strict=True)
        )


def texts_by_role(
    sides: Sequence[Conversations], contents: Sequence[Contents], answers: Sequence[str], engine: Engine
) -> dict[str, Spans]:
    """What users said, as `query`, and what each side answers, by the names of `answers`; without any the
    sides are prompts."""
    texts: dict[str, Spans] = {}
    for number, (side, of_side) in enumerate(zip(sides, contents, strict=True)):
        query, answer = of_side(side, engine)
        texts.setdefault("query", query)
        if answers:
            texts[answers[number]] = answer
    return texts


def contents_by_role(
    conversations: Conversations, engine: Engine, known: Bools | None = None
) -> tuple[Spans, Spans]:
    """All that users said and all that the assistant said, row level, contents joined by newlines.

    One content is a span of the chunk; several are joined in a buffer of their own. ABSENT where a role
    said nothing. known: rows that are left out.
    """
    slow: dict[str, dict[int, bytes]] = {role: {} for role in ROLES}
    left = (conversations.reason == Reason.NONE) & ~conversations.plain
    if known is not None:
        left &= ~known
    for row in np.flatnonzero(left).tolist():
        try:
            messages = conversations.read(row).messages
        except BadRecord as bad:
            conversations.refuse(row, bad)
            continue
        for role, result in slow.items():
            said = [text for message in messages if message.get("role") == role for text in _said(message)]
            if said:
                result[row] = "\n".join(said).encode("utf-8", "replace")
    return tuple(overlay(_of_role(conversations, role, engine), slow[role]) for role in slow)  # type: ignore[return-value]


def _said(message: Message) -> Iterator[str]:
    """The texts of a message: its content, and the calls of tools, which are an answer as well."""
    content = text_of(message.get("content"))
    if content:
        yield content
    for call in message.get("tool_calls") or ():
        yield json.dumps(call, ensure_ascii=False, default=str)


def _of_role(conversations: Conversations, role: str, engine: Engine) -> Spans:
    n = len(conversations)
    if role not in conversations.names or not len(conversations.role):
        return layout.empty_spans(n)
    mine = conversations.role == conversations.names.index(role)
    before = np.concatenate([[0], np.cumsum(mine)])
    count = np.where(
        conversations.plain, before[conversations.first[1:]] - before[conversations.first[:-1]], 0
    )
    messages = np.flatnonzero(mine)
    first = (
        messages[np.minimum(before[conversations.first[:-1]], max(len(messages) - 1, 0))]
        if len(messages)
        else None
    )
    if first is None:
        return layout.empty_spans(n)
    said = count > 0
    if count.max() > 1:
        return _joined(conversations, mine, count, before, engine)
    return conversations.content.over(
        np.where(said, conversations.content.start[first], 0),
        np.where(said, conversations.content.length[first], 0),
        np.where(said, conversations.content.kind[first], layout.ABSENT).astype(np.uint8),
    )


def _joined(conversations: Conversations, mine: Bools, count: I64, before: I64, engine: Engine) -> Spans:
    """The contents of a role that spoke several times, joined: a copy of contents, never of the chunk."""
    programs: list[Program] = []
    counts, program = np.unique(count, return_inverse=True)
    for number in counts.tolist():
        slots = [(Literal(b"\n"), Slot(CONTENT, element)) for element in range(number)]
        programs.append(tuple(part for pair in slots for part in pair)[1:])
    said = conversations.content.over(
        conversations.content.start[mine],
        conversations.content.length[mine],
        conversations.content.kind[mine],
    )
    table = pack(programs, [CONTENT])
    rows = np.arange(len(count))
    text = engine.render(
        table,
        program.astype(np.int32),
        [said] * len(table.columns),
        rows,
        layout.AS_TEXT,
        before[conversations.first],
    )
    return spans_of_offsets(text.data[: text.offsets[-1]].copy(), text.offsets, count > 0)
