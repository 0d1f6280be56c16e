"""The conversations of one chunk, flattened: what every template over messages is bound to.

Two forms of the same thing. The flat arrays hold the rows that are plain: each message is a known role and
a text, nothing else. `read` gives any row, plain or not, as the Python objects that a chat template takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, U8, Messages, Records, Spans, empty_spans, spans_of_offsets
from forge_gpu.plain import frozen, mutable
from forge_gpu.templates.fields import query_parts
from forge_gpu.templates.parts import STYLES, unfold
from forge_gpu.templates.program import pack
from forge_gpu.templates.records import BadRecord, Message, messages_of, tools_of
from forge_gpu.templates.roles import DEVELOPER, FUNCTION_CALL, ROLES
from forge_gpu.templates.values import (
    ABSENT,
    GOOD,
    as_text,
    has_text,
    lacking,
    missing,
    no_text,
    text_of_span,
    value_of,
)

Bools = npt.NDArray[np.bool_]
UNKNOWN_ROLE = 255


@mutable
class Conversation:
    """One row as a chat template takes it. tools: ABSENT, or what the record has there."""

    messages: list[Message]
    tools: object = ABSENT


@frozen
class Spelled:
    """The JSON of the messages and tools of each row. rows: those that have their conversation there."""

    messages: Spans
    tools: Spans
    rows: Bools


@mutable
class Conversations:
    """n conversations of m messages in all; of m texts, where some are `parted`.

    first: int64[n + 1]. role: uint8[m], an index into `names`. content: Spans[m], texts (no kind JSON).
    plain: bool[n], the arrays hold all of the row; only then are role and content of the row to be read.
    reason: uint8[n] fates.Reason. details: row -> why it was refused. read: row -> Conversation, may raise
    BadRecord.
    """

    names: tuple[str, ...]
    first: I64
    role: U8
    content: Spans
    plain: Bools
    reason: U8
    read: Callable[[int], Conversation]
    details: dict[int, str] = field(default_factory=dict)
    needed: dict[str, Spans] = field(default_factory=dict)  # columns whose lack refuses a row
    content_first: Bools | None = None  # rows that spell contents before roles; None: no row
    parted: Bools | None = None  # rows that the arrays hold with a text for each part (see parts.py)
    spelled: Spelled | None = None

    def __len__(self) -> int:
        return len(self.plain)

    def detail(self, row: int) -> str:
        """Why a row was refused, in one line; empty where its reason says it all."""
        return self.details.get(row) or lacking(self.needed, self.reason, row)

    def refuse(self, row: int, bad: BadRecord) -> None:
        self.reason[row] = bad.reason
        self.details[row] = bad.detail


def detail_of(sides: Sequence[Conversations], row: int) -> str:
    """Why a row was refused, by the first side that was."""
    return next((side.detail(row) for side in sides if side.reason[row]), "")


class Shape(Protocol):
    """Which columns of a record make a conversation."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns whose null or absence refuses a record."""

    def read(self, records: Records, engine: Engine) -> Conversations:
        """The conversations of a chunk."""

    def conversation(self, record: Record) -> Conversation:
        """That of one record, which has the columns that are needed. Raises BadRecord."""


class Record(Protocol):
    """One record, wherever it is held."""

    def value(self, column: str) -> Any:
        """What stands there, as Python's json reads it; ABSENT where there is nothing."""

    def text(self, column: str) -> str:
        """The same as text: a value that is none is its JSON, null and absent are empty."""


@frozen
class ChunkRecord:
    """A row of a chunk."""

    records: Records
    row: int

    def value(self, column: str) -> Any:
        return value_of(self.records.columns[column], self.row)

    def text(self, column: str) -> str:
        return text_of_span(self.records.columns[column], self.row)


def query_of(record: Record, query: str, input_column: str | None) -> str:
    """The user's text: the query, and its input after a newline where that is not empty."""
    extra = "" if input_column is None else record.text(input_column)
    return f"{record.text(query)}\n{extra}" if extra else record.text(query)


@frozen
class FlatShape:
    """Columns of a record of one turn; `response` None makes a prompt without its answer."""

    query: str
    response: str | None
    input: str | None = None
    system: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.query, self.response, self.input, self.system)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def needed(self) -> tuple[str, ...]:
        return (self.query,) if self.response is None else (self.query, self.response)

    def read(self, records: Records, engine: Engine) -> Conversations:
        reason = records.reason.copy()
        columns = records.columns
        needed = {name: columns[name] for name in self.needed}
        for column in needed.values():
            missing(reason, column)
        for name in self.columns:
            no_text(reason, columns[name])
        named = [("system", self.system), ("user", self.query), ("assistant", self.response)]
        turns = [(role, as_text(columns[name])) for role, name in named if name is not None]
        query = joined_query(columns, self.query, self.input, engine)
        conversations = interleave(
            turns, query, reason, lambda row: self.conversation(ChunkRecord(records, row))
        )
        conversations.needed = {**needed, **{name: columns[name] for name in self.columns}}
        return conversations

    def conversation(self, record: Record) -> Conversation:
        messages: list[Message] = [
            {"role": "user", "content": query_of(record, self.query, self.input)},
        ]
        if self.response is not None:
            messages.append({"role": "assistant", "content": record.text(self.response)})
        return with_columns(messages, record, self.system, None)


def joined_query(
    columns: Mapping[str, Spans], query: str, input_column: str | None, engine: Engine
) -> Spans | None:
    """Query and input in one text, for the rows that have an input; NULL elsewhere."""
    if input_column is None or not has_text(columns[input_column]).any():
        return None
    given = has_text(columns[input_column])
    table = pack([(), query_parts(query, input_column)])
    rows = np.arange(len(given))
    text = engine.render(
        table, given.astype(np.int32), [columns[name] for name in table.columns], rows, layout.AS_TEXT
    )
    return spans_of_offsets(text.data[: text.offsets[-1]].copy(), text.offsets, given)


def interleave(
    turns: list[tuple[str, Spans]],
    query: Spans | None,
    reason: U8,
    read: Callable[[int], Conversation],
) -> Conversations:
    """Row-level columns, one a role, as message-level arrays; a system column without a text is no message.

    query: texts that take the place of the user's where they are not NULL. read: a row in Python.
    """
    n = len(reason)
    data, starts = pooled([column for _, column in turns] + ([] if query is None else [query]))
    if query is not None:
        given, user = query.kind != layout.NULL, [role for role, _ in turns].index("user")
        starts[user] = np.where(given, starts.pop(), starts[user])
        turns[user] = ("user", _chosen(given, query, turns[user][1]))
    present = np.ones((n, len(turns)), np.bool_)
    for number, (role, column) in enumerate(turns):
        if role == "system":
            present[:, number] = has_text(column)
    present[reason != GOOD] = False
    first = np.zeros(n + 1, np.int64)
    np.cumsum(present.sum(axis=1), out=first[1:])
    names = tuple(role for role, _ in turns)

    def flat(part: str) -> Any:
        return np.stack([getattr(column, part) for _, column in turns], axis=1)[present]

    roles: U8 = np.broadcast_to(np.arange(len(turns), dtype=np.uint8), present.shape)[present]
    content = Spans(data, np.stack(starts, axis=1)[present], flat("length"), flat("kind"))

    return Conversations(names, first, roles, content, reason == GOOD, reason, read)


def _chosen(where: Bools, one: Spans, other: Spans) -> Spans:
    """Lengths and kinds of one column or another; starts are pooled apart."""
    return Spans(
        other.data,
        other.start,
        np.where(where, one.length, other.length),
        np.where(where, one.kind, other.kind),
    )


@frozen
class ListShape:
    """Columns of a record with a list of messages.

    aliases: names of `from` -> role. roles: the same of `role`; without any, all are passed on.
    """

    messages: str
    aliases: Mapping[str, str]
    roles: Mapping[str, str]
    system: str | None = None
    tools: str | None = None

    @property
    def renamed(self) -> dict[str, str]:
        """Names of `role` that become others."""
        return {name: role for name, role in self.roles.items() if role not in (name, FUNCTION_CALL)}

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.messages, self.system, self.tools)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def needed(self) -> tuple[str, ...]:
        return (self.messages,)

    def read(self, records: Records, engine: Engine) -> Conversations:
        columns = records.columns
        column = columns[self.messages]
        reason = records.reason.copy()
        missing(reason, column)
        names, texts, parted = self._texts(self._may_be_plain(columns), reason, engine)
        good = (reason == GOOD) & (texts.reason == GOOD) & (texts.first[1:] > texts.first[:-1])
        if self.tools is not None:
            good &= columns[self.tools].length == 0
        plain = (texts.plain == layout.ROLE_FIRST) | (texts.plain == layout.CONTENT_FIRST)
        result = Conversations(
            names,
            texts.first,
            texts.role,
            as_text(texts.content),
            plain & good,
            reason,
            lambda row: self.conversation(ChunkRecord(records, row)),
            needed={self.messages: column},
            content_first=(texts.plain & layout.CONTENT_FIRST) != 0,
            parted=None if parted is None else parted & good,
        )
        tools = empty_spans(len(reason)) if self.tools is None else columns[self.tools]
        rows = np.ones(len(reason), np.bool_)
        if self.roles:
            rows &= ~_with_unknown(texts)  # read in Python, which maps their roles or refuses them
        if self.system is not None:
            rows &= ~has_text(columns[self.system])
        result.spelled = Spelled(column, tools, rows)
        if self.system is not None:
            _prepend_system(result, columns[self.system])
        return result

    def _may_be_plain(self, columns: Mapping[str, Spans]) -> Spans:
        """The messages, without those of rows with tools: nobody asks where their texts are. Tools that are
        absent, null or "" are none. Where roles are looked at, all rows are."""
        column = columns[self.messages]
        if self.tools is None or self.roles:
            return column
        kind = np.where(columns[self.tools].length > 0, np.uint8(layout.ABSENT), column.kind)
        return column.over(column.start, column.length, kind)

    def _texts(
        self, column: Spans, reason: U8, engine: Engine
    ) -> tuple[tuple[str, ...], Messages, Bools | None]:
        """(names, messages whose roles count them, None); where lists were unfolded (see parts.py) (names of
        roles and styles, texts instead of messages, the rows that have lists)."""
        role_key, content_key, known = self._keys(column, reason)
        result = engine.messages(column, tuple(known), role_key, content_key)
        names = tuple(dict.fromkeys(known.values())) or ROLES
        numbers = [names.index(role) for role in known.values()]
        if not (result.plain & layout.WITH_LISTS).any() or STYLES * len(names) > UNKNOWN_ROLE:
            return names, replace(result, role=_numbers_of(result.role, numbers)), None
        result, style, parted = unfold(result, engine)
        role = _numbers_of(result.role, numbers) + np.uint8(len(names)) * style
        styled = [f"{name}\0{number}" if number else name for number in range(STYLES) for name in names]
        return tuple(styled), replace(result, role=role), parted

    def _keys(self, column: Spans, reason: U8) -> tuple[str, str, dict[str, str]]:
        """Names of the role and content keys, by a look at the first good row: only a guess for the fast
        path, since a row that spells them otherwise is not plain and is read in Python to the same end."""
        good = (reason == GOOD) & (column.kind == layout.JSON)
        sample = column.raw(int(good.argmax())) if good.any() else b""
        if b'"from"' in sample and b'"role"' not in sample:
            return "from", "value", {k: v for k, v in self.aliases.items() if v != FUNCTION_CALL}
        usual = {role: role for role in (*ROLES, DEVELOPER)}
        more = {k: v for k, v in self.roles.items() if v != FUNCTION_CALL and f'"{k}"'.encode() in sample}
        return "role", "content", {**usual, **more}

    def conversation(self, record: Record) -> Conversation:
        messages = messages_of(record.value(self.messages), self.aliases, self.roles)
        return with_columns(messages, record, self.system, self.tools)


@frozen
class PromptList(ListShape):
    """The same of messages that wait for an answer: those that end with one are refused."""

    def read(self, records: Records, engine: Engine) -> Conversations:
        result = super().read(records, engine)
        in_arrays = result.plain if result.parted is None else result.plain | result.parted
        good = result.reason == GOOD
        shown = np.flatnonzero(good & in_arrays)
        answers = np.array([name.partition("\0")[0] == "assistant" for name in result.names])
        for row in shown[answers[result.role[result.first[shown + 1] - 1]]].tolist():
            result.refuse(row, BadRecord(ANSWERED))
            result.plain[row] = False
        for row in np.flatnonzero(good & ~in_arrays).tolist():
            try:
                self.conversation(ChunkRecord(records, row))
            except BadRecord as bad:
                result.refuse(row, bad)
        return result

    def conversation(self, record: Record) -> Conversation:
        result = super().conversation(record)
        if result.messages and result.messages[-1].get("role") == "assistant":
            raise BadRecord(ANSWERED)
        return result


ANSWERED = "the messages end with the assistant's answer: a prompt is what comes before it"


def _with_unknown(texts: Messages) -> Bools:
    """Which rows have a message whose role is none of those that were looked for."""
    before = np.concatenate(([0], np.cumsum(texts.role == UNKNOWN_ROLE)))
    unknown: Bools = before[texts.first[1:]] > before[texts.first[:-1]]
    return unknown


def _numbers_of(code: U8, numbers: Sequence[int]) -> U8:
    """`numbers[code]`, UNKNOWN_ROLE for what is not a role; no copy where nothing changes."""
    if list(numbers) == list(range(len(numbers))):
        return code
    table = np.full(256, UNKNOWN_ROLE, np.uint8)
    table[: len(numbers)] = numbers
    return table[code]


def with_columns(
    messages: list[Message], record: Record, system: str | None, tools: str | None
) -> Conversation:
    """Messages with the system prompt and the tools that stand in columns of their own."""
    prompt = "" if system is None else record.text(system)
    if prompt:
        if messages and messages[0]["role"] == "system":
            raise BadRecord(f"both {system!r} and the messages have a system prompt")
        messages = [{"role": "system", "content": prompt}, *messages]
    return Conversation(messages, ABSENT if tools is None else tools_of(record.value(tools)))


def pooled(columns: Sequence[Spans]) -> tuple[U8, list[I64]]:
    """One buffer for several columns, and the starts of each in it. No copy where they share it already."""
    largest = max((column.data for column in columns), key=len)
    pieces, starts, size = [largest], [], len(largest)
    for column in columns:
        if len(column.data) == 0 or column.data.ctypes.data == largest.ctypes.data:
            starts.append(column.start)
            continue
        starts.append(column.start + size)
        pieces.append(column.data)
        size += len(column.data)
    return (np.concatenate(pieces) if len(pieces) > 1 else largest), starts


def _prepend_system(conversations: Conversations, system: Spans) -> None:
    """A system message before each plain row that has a system text in a column of its own."""
    system = as_text(system)
    if conversations.parted is not None:
        conversations.parted &= ~has_text(system)
    given = conversations.plain & has_text(system)
    if not given.any():
        return
    own = np.zeros(len(conversations), np.bool_)
    if "system" in conversations.names:
        own[given] = conversations.role[conversations.first[:-1][given]] == conversations.names.index(
            "system"
        )
    if conversations.content_first is not None:
        own |= given & conversations.content_first  # the one put before them has its role first
    conversations.plain &= ~own  # two system messages: read in Python, which refuses the row
    given &= ~own
    if "system" not in conversations.names:
        conversations.names = (*conversations.names, "system")
    data, (content_start, system_start) = pooled([conversations.content, system])
    at = conversations.first[:-1][given]
    conversations.role = np.insert(conversations.role, at, conversations.names.index("system"))
    conversations.content = Spans(
        data,
        np.insert(content_start, at, system_start[given]),
        np.insert(conversations.content.length, at, system.length[given]),
        np.insert(conversations.content.kind, at, system.kind[given]),
    )
    conversations.first = conversations.first.copy()
    conversations.first[1:] += np.cumsum(given)
