"""Preference pairs: one side of a pair as a conversation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records, Spans
from forge_gpu.plain import frozen
from forge_gpu.templates.conversations import (
    Bools,
    ChunkRecord,
    Conversation,
    Conversations,
    Record,
    interleave,
    joined_query,
    query_of,
    with_columns,
)
from forge_gpu.templates.records import BadRecord, Message, messages_of
from forge_gpu.templates.values import as_text, missing, no_text


@frozen
class PairShape:
    """A prompt and one answer to it, `side`: the column of the chosen or of the rejected answers.

    The prompt is a text (`query`, with `input`), a list of messages, or neither. The answer is a text, a
    message, a list of messages that goes on from the prompt, or, where its first message is not the
    assistant's, a list that is the whole conversation, the prompt included.
    """

    side: str
    aliases: Mapping[str, str]
    roles: Mapping[str, str]
    query: str | None = None
    input: str | None = None
    messages: str | None = None
    system: str | None = None
    tools: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.side, self.query, self.input, self.messages, self.system, self.tools)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def needed(self) -> tuple[str, ...]:
        return tuple(name for name in (self.query, self.messages, self.side) if name is not None)

    def read(self, records: Records, engine: Engine) -> Conversations:
        columns = records.columns
        reason = records.reason.copy()
        needed = {name: columns[name] for name in self.needed}
        for column in needed.values():
            missing(reason, column)
        texts_of = [name for name in (self.query, self.input, self.system) if name is not None]
        for name in texts_of:
            no_text(reason, columns[name])
        turns = [(role, as_text(columns[name])) for role, name in self._texts()]
        query = None if self.query is None else joined_query(columns, self.query, self.input, engine)
        pairs = interleave(turns, query, reason, lambda row: self.conversation(ChunkRecord(records, row)))
        texts = np.isin(columns[self.side].kind, layout.TEXTS)
        pairs.plain &= texts & self._without_tools(columns)
        if self.query is None:
            pairs.plain[:] = False
        pairs.needed = {**needed, **{name: columns[name] for name in texts_of}}
        return pairs

    def _texts(self) -> list[tuple[str, str]]:
        named = [("system", self.system), ("user", self.query), ("assistant", self.side)]
        return [(role, name) for role, name in named if name is not None]

    def _without_tools(self, columns: Mapping[str, Spans]) -> Bools:
        if self.tools is None:
            return np.ones(len(columns[self.side]), np.bool_)
        without: Bools = columns[self.tools].length == 0
        return without

    def conversation(self, record: Record) -> Conversation:
        answer = record.value(self.side)
        if isinstance(answer, str):
            messages = [*self._prompt(record), {"role": "assistant", "content": answer}]
        else:
            messages = messages_of(answer, self.aliases, self.roles)
            if messages[0]["role"] == "assistant":
                messages = [*self._prompt(record), *messages]
        return with_columns(messages, record, self.system, self.tools)

    def _prompt(self, record: Record) -> list[Message]:
        if self.messages is not None:
            return messages_of(record.value(self.messages), self.aliases, self.roles)
        if self.query is None:
            raise BadRecord(
                f"{self.side!r} is an answer without its prompt; set data.mapping.query or messages"
            )
        return [{"role": "user", "content": query_of(record, self.query, self.input)}]
