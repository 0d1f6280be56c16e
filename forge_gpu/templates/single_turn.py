"""The renderer of templates that have one turn, over conversations and preference pairs."""

from __future__ import annotations

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import I64, Records, Spans
from forge_gpu.plain import mutable
from forge_gpu.templates.conversations import (
    UNKNOWN_ROLE,
    Bools,
    Conversation,
    Conversations,
    Shape,
    detail_of,
)
from forge_gpu.templates.fields import constant_programs, substitute
from forge_gpu.templates.program import Program, Slot
from forge_gpu.templates.records import BadRecord, text_of
from forge_gpu.templates.renderer import Bound, overlay, own
from forge_gpu.templates.roles import ROLES
from forge_gpu.templates.values import ABSENT, text_of_span


@mutable
class SingleTurnRenderer:
    """One program a field over `query` and `answers`: ("response",), or ("chosen", "rejected") with two
    shapes, one a side. name: the template's, for what a refused row is told."""

    shapes: tuple[Shape, ...]
    answers: tuple[str, ...]
    name: str
    templates: dict[str, Program]
    json_fields: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        slots = {name: (Slot(own(name)),) for name in ("query", *self.answers)}
        self.programs: list[Program] = [substitute(program, slots) for program in self.templates.values()]

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.templates)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for shape in self.shapes for name in shape.columns))

    def bind(self, records: Records, engine: Engine) -> Bound:
        columns: dict[str, Spans] = {}
        sides = [shape.read(records, engine) for shape in self.shapes]
        for side, answer in zip(sides, self.answers, strict=True):
            query, columns[answer] = single_turns(side, self.name)
            if "query" in columns:
                _same_query(side, columns["query"], query)
            columns.setdefault("query", query)
        reason = sides[0].reason
        for side in sides[1:]:
            reason = np.where(reason == Reason.NONE, side.reason, reason)
        return Bound(
            programs=self.programs,
            program=constant_programs(self.fields, reason),
            columns={own(name): column for name, column in columns.items()},
            reason=reason,
            make_texts=lambda: columns,
            detail=lambda row: detail_of(sides, row),
        )


def _same_query(side: Conversations, one: Spans, other: Spans) -> None:
    """Refuse the pairs whose sides answer different queries. Plain rows have one query column for both."""
    for row in np.flatnonzero((side.reason == Reason.NONE) & ~side.plain).tolist():
        if one.kind[row] and text_of_span(one, row) != text_of_span(other, row):
            side.refuse(row, BadRecord("chosen and rejected answer different prompts"))


def single_turns(conversations: Conversations, template: str) -> tuple[Spans, Spans]:
    """Query and response of conversations of one turn, for a template that has just one.

    Refuses every other row in `conversations`: several turns, a system message that says something, tools.
    """
    code = np.full(256, UNKNOWN_ROLE, np.uint8)
    code[: len(conversations.names)] = [
        ROLES.index(name) if name in ROLES else UNKNOWN_ROLE for name in conversations.names
    ]
    role = np.concatenate(
        [code[conversations.role], np.full(3, UNKNOWN_ROLE, np.uint8)]
    )  # a message may be asked past the end
    length = np.concatenate([conversations.content.length, np.zeros(3, np.int64)])
    first, count = conversations.first[:-1], np.diff(conversations.first)
    silent_system = (role[first] == 0) & (length[first] == 0)
    user = first + silent_system
    single = conversations.plain & (conversations.reason == Reason.NONE) & (count - silent_system == 2)
    single &= (role[user] == 1) & (role[user + 1] == 2)
    queries: dict[int, bytes] = {}
    responses: dict[int, bytes] = {}
    for row in np.flatnonzero((conversations.reason == Reason.NONE) & ~single).tolist():
        try:
            queries[row], responses[row] = _single_turn(conversations.read(row), template)
        except BadRecord as bad:
            conversations.refuse(row, bad)
    query = overlay(_gather(conversations.content, user, single), queries)
    return query, overlay(_gather(conversations.content, user + 1, single), responses)


def _single_turn(conversation: Conversation, template: str) -> tuple[bytes, bytes]:
    advice = f"the template {template} has one turn of a user and an assistant; use the model's own"
    messages = conversation.messages
    users = sum(message["role"] == "user" for message in messages)
    if users > 1:
        raise BadRecord(f"a conversation of {users} turns; {advice}", Reason.SEVERAL_TURNS)
    if messages and messages[0]["role"] == "system":
        if text_of(messages[0].get("content")):
            raise BadRecord(f"a system message; {advice}", Reason.TEMPLATE_REFUSED)
        messages = messages[1:]
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"]:
        raise BadRecord(f"messages of {', '.join(map(str, roles)) or 'nobody'}; {advice}")
    if messages[1].get("tool_calls") or conversation.tools not in (ABSENT, []):
        raise BadRecord(f"tools; {advice}", Reason.TEMPLATE_REFUSED)
    texts = []
    for message in messages:
        text = text_of(message.get("content"))
        if text is None:
            raise BadRecord(f"the {message['role']}'s content is not a text")
        texts.append(text.encode())
    return texts[0], texts[1]


def _gather(column: Spans, at: I64, where: Bools) -> Spans:
    """Values `at`, ABSENT elsewhere."""
    n = len(at)
    start, length, kind = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint8)
    start[where], length[where], kind[where] = (
        column.start[at[where]],
        column.length[at[where]],
        column.kind[at[where]],
    )
    return column.over(start, length, kind)
