"""Preference pairs: one side of a pair as a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records, Spans
from forge_gpu.templates.conversations import (
    Bools,
    Conversation,
    Conversations,
    interleave,
    joined_query,
    with_columns,
)
from forge_gpu.templates.records import BadRecord, Message, messages_of
from forge_gpu.templates.values import as_text, missing, text_of_span, value_of


@dataclass(frozen=True)
class PairShape:
    """A prompt and one answer to it, `side`: the column of the chosen or of the rejected answers.

    The prompt is a text (`query`, with `input`), a list of messages, or neither. The answer is a text, a
    message, a list of messages that goes on from the prompt, or, where its first message is not the
    assistant's, a list that is the whole conversation, the prompt included.
    """

    side: str
    aliases: Mapping[str, str]
    renamed: Mapping[str, str]
    query: str | None = None
    input: str | None = None
    messages: str | None = None
    system: str | None = None
    tools: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.side, self.query, self.input, self.messages, self.system, self.tools)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def read(self, records: Records, engine: Engine) -> Conversations:
        columns = records.columns
        reason = records.reason.copy()
        needed = {name: columns[name] for name in (self.query, self.messages, self.side) if name is not None}
        for column in needed.values():
            missing(reason, column)
        turns = [(role, as_text(columns[name])) for role, name in self._texts()]
        query = None if self.query is None else joined_query(columns, self.query, self.input, engine)
        talks = interleave(turns, query, reason)
        texts = np.isin(columns[self.side].kind, layout.TEXTS)
        talks.plain &= texts & self._without_tools(columns)
        if self.query is None:
            talks.plain[:] = False
        talks.needed = needed
        talks.read = lambda row: self._read_row(records, query, row)
        return talks

    def _texts(self) -> list[tuple[str, str]]:
        named = [("system", self.system), ("user", self.query), ("assistant", self.side)]
        return [(role, name) for role, name in named if name is not None]

    def _without_tools(self, columns: Mapping[str, Spans]) -> Bools:
        if self.tools is None:
            return np.ones(len(columns[self.side]), np.bool_)
        without: Bools = columns[self.tools].length == 0
        return without

    def _read_row(self, records: Records, query: Spans | None, row: int) -> Conversation:
        answer = value_of(records.columns[self.side], row)
        if isinstance(answer, str):
            messages = [*self._prompt(records, query, row), {"role": "assistant", "content": answer}]
        else:
            messages = messages_of(answer, self.aliases, self.renamed)
            if messages[0]["role"] == "assistant":
                messages = [*self._prompt(records, query, row), *messages]
        return with_columns(messages, records, row, self.system, self.tools)

    def _prompt(self, records: Records, query: Spans | None, row: int) -> list[Message]:
        if self.messages is not None:
            return messages_of(value_of(records.columns[self.messages], row), self.aliases, self.renamed)
        if self.query is None:
            raise BadRecord(
                f"{self.side!r} is an answer without its prompt; set data.mapping.query or messages"
            )
        joined = query is not None and query.kind[row] != layout.NULL
        text = text_of_span(query if joined and query is not None else records.columns[self.query], row)
        return [{"role": "user", "content": text}]
