"""What users and the assistant said in each conversation, for quality checks and near-duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Spans, spans_of_offsets
from forge_gpu.templates.conversations import Bools, Conversations
from forge_gpu.templates.program import Literal, Program, Slot, pack
from forge_gpu.templates.records import BadRecord, Message, text_of
from forge_gpu.templates.renderer import overlay

CONTENT = "content"


def contents_by_role(talks: Conversations, engine: Engine) -> tuple[Spans, Spans]:
    """All that users said and all that the assistant said, row level, contents joined by newlines.

    One content is a span of the chunk; several are joined in a buffer of their own. ABSENT where a role
    said nothing.
    """
    slow: dict[str, dict[int, bytes]] = {"user": {}, "assistant": {}}
    for row in np.flatnonzero((talks.reason == Reason.NONE) & ~talks.plain).tolist():
        try:
            messages = talks.read(row).messages
        except BadRecord as bad:
            talks.refuse(row, bad)
            continue
        for role, found in slow.items():
            said = [text for message in messages if message.get("role") == role for text in _said(message)]
            if said:
                found[row] = "\n".join(said).encode("utf-8", "replace")
    return tuple(overlay(_of_role(talks, role, engine), slow[role]) for role in slow)  # type: ignore[return-value]


def _said(message: Message) -> Iterator[str]:
    """The texts of a message: its content, and the calls of tools, which are an answer as well."""
    content = text_of(message.get("content"))
    if content:
        yield content
    for call in message.get("tool_calls") or ():
        yield json.dumps(call, ensure_ascii=False, default=str)


def _of_role(talks: Conversations, role: str, engine: Engine) -> Spans:
    n = len(talks)
    if role not in talks.names or not len(talks.role):
        return layout.empty_spans(n)
    mine = talks.role == talks.names.index(role)
    before = np.concatenate([[0], np.cumsum(mine)])
    count = np.where(talks.plain, before[talks.first[1:]] - before[talks.first[:-1]], 0)
    messages = np.flatnonzero(mine)
    first = (
        messages[np.minimum(before[talks.first[:-1]], max(len(messages) - 1, 0))] if len(messages) else None
    )
    if first is None:
        return layout.empty_spans(n)
    said = count > 0
    if count.max() > 1:
        return _joined(talks, mine, count, before, engine)
    return Spans(
        talks.content.data,
        np.where(said, talks.content.start[first], 0),
        np.where(said, talks.content.length[first], 0),
        np.where(said, talks.content.kind[first], layout.ABSENT).astype(np.uint8),
    )


def _joined(talks: Conversations, mine: Bools, count: I64, before: I64, engine: Engine) -> Spans:
    """The contents of a role that spoke several times, joined: a copy of contents, never of the chunk."""
    programs: list[Program] = []
    for number in range(int(count.max()) + 1):
        slots = [(Literal(b"\n"), Slot(CONTENT, element)) for element in range(number)]
        programs.append(tuple(part for pair in slots for part in pair)[1:])
    said = Spans(
        talks.content.data,
        talks.content.start[mine],
        talks.content.length[mine],
        talks.content.kind[mine],
    )
    table = pack(programs, [CONTENT])
    rows = np.arange(len(count))
    text = engine.render(
        table, count.astype(np.int32), [said] * len(table.columns), rows, layout.AS_TEXT, before[talks.first]
    )
    return spans_of_offsets(text.data[: text.offsets[-1]].copy(), text.offsets, count > 0)
