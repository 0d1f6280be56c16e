"""The renderer of the form `messages`: conversations as OpenAI messages, one JSON list a row."""

from __future__ import annotations

import json

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I32, Records, Spans
from forge_gpu.plain import mutable
from forge_gpu.templates.contents import Contents, texts_by_role
from forge_gpu.templates.conversations import Conversations, Shape
from forge_gpu.templates.fields import message_list
from forge_gpu.templates.grouping import group_by_roles
from forge_gpu.templates.program import Literal, Program, RawSlot, Slot
from forge_gpu.templates.records import BadRecord, tools_of
from forge_gpu.templates.renderer import Bound, own, plain_spans
from forge_gpu.templates.values import ABSENT, value_of

CONTENT, REWRITTEN, TOOLS = own("content"), own("messages"), own("tools")


@mutable
class MessagesRenderer:
    """Plain rows are programs over contents, one for each sequence of roles; other rows are spelled anew. So
    one spelling is written, whatever the input's: equal conversations are equal bytes.

    messages, tools: the columns that hold them. field: what the list is called, `messages`, or `prompt` where
    nobody has answered.
    """

    shape: Shape
    messages: str
    tools: str | None
    field: str = "messages"

    def __post_init__(self) -> None:
        self.programs: list[Program] = [(RawSlot(REWRITTEN),)]
        if self.tools is not None:
            self.programs += [(RawSlot(TOOLS),), (Literal(b"null"),)]
        self._of_roles: dict[tuple[str, ...], int] = {}
        self._answers = () if self.field == "prompt" else ("response",)
        self._contents = Contents(getattr(self.shape, "renamed", {}))

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,) if self.tools is None else (self.field, "tools")

    @property
    def json_fields(self) -> frozenset[str]:
        return frozenset(self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.shape.columns

    def bind(self, records: Records, engine: Engine) -> Bound:
        conversations = self.shape.read(records, engine)
        columns = {
            CONTENT: conversations.content,
            REWRITTEN: _rewritten(conversations),
        }
        program = {self.field: self._programs(conversations)}
        good = conversations.reason == Reason.NONE
        if self.tools is not None:
            columns[TOOLS] = _tools(conversations, records.columns[self.tools])
            index = np.where(columns[TOOLS].kind == layout.ABSENT, np.int32(2), np.int32(1))
            program["tools"] = np.where(good, index, np.int32(-1))
        program[self.field] = np.where(good, program[self.field], np.int32(-1))
        return Bound(
            programs=self.programs,
            program=program,
            columns=columns,
            reason=conversations.reason,
            make_texts=lambda: texts_by_role([conversations], [self._contents], self._answers, engine),
            message_columns=frozenset((CONTENT,)),
            first=conversations.first,
            detail=conversations.detail,
        )

    def _programs(self, conversations: Conversations) -> I32:
        """The program of each row: one of the row's sequence of roles, 0 where it is not plain."""
        groups, shapes = group_by_roles(
            conversations, conversations.plain & (conversations.reason == Reason.NONE)
        )
        number = np.zeros(len(shapes) + 1, np.int32)
        for group, roles in enumerate(shapes):
            if roles not in self._of_roles:
                self._of_roles[roles] = len(self.programs)
                slots = [(role, (Slot(CONTENT, element),)) for element, role in enumerate(roles)]
                self.programs.append(message_list(slots))
            number[group] = self._of_roles[roles]
        return number[groups]


def _rewritten(conversations: Conversations) -> Spans:
    """The messages of rows that are not plain."""
    values: list[bytes | None] = [None] * len(conversations)
    for row in np.flatnonzero((conversations.reason == Reason.NONE) & ~conversations.plain).tolist():
        try:
            values[row] = _spelled(conversations.read(row).messages, "the messages")
        except BadRecord as bad:
            conversations.refuse(row, bad)
    return _as_json(plain_spans(values))


def _tools(conversations: Conversations, column: Spans) -> Spans:
    """Tools as JSON: those kept inside a string are JSON too. Mostly they are the same in many rows."""
    values: list[bytes | None] = [None] * len(column)
    spelled: dict[bytes, bytes | None] = {}
    given = (conversations.reason == Reason.NONE) & (column.length > 0)
    for row in np.flatnonzero(given).tolist():
        raw = column.raw(row)
        if raw not in spelled:
            try:
                tools = tools_of(value_of(column, row))
                spelled[raw] = None if tools is ABSENT else _spelled(tools, "the tools")
            except BadRecord as bad:
                conversations.refuse(row, bad)
                continue
        values[row] = spelled[raw]
    return _as_json(plain_spans(values))


def _spelled(value: object, what: str) -> bytes:
    """As JSON. Raises BadRecord where it has none."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise BadRecord(f"{what} have half a surrogate pair", Reason.LONE_SURROGATE) from None
    except ValueError:
        raise BadRecord(f"{what} have a number that is too large for a double") from None


def _as_json(column: Spans) -> Spans:
    kind = np.where(column.kind == layout.PLAIN, np.uint8(layout.JSON), column.kind)
    return column.over(column.start, column.length, kind)
