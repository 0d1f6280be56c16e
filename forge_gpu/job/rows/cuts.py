"""Rows of too many tokens, cut as the plan says: by their messages, and rendered again, or by their tokens.

By messages the least is left out that makes a row fit; what that is, is asked of the template and the
tokenizer themselves, since many templates write a conversation otherwise that began later, or ended earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.job.rows.encoded import RowEncoder
from forge_gpu.job.rows.message_list import MessageList, column_of, list_of
from forge_gpu.job.rows.rows import RowReader, Rows
from forge_gpu.job.state.token_table import pieces_within
from forge_gpu.kernels.layout import I64, Spans
from forge_gpu.plain import frozen, mutable
from forge_gpu.templates.records import Message
from forge_gpu.tokens.tokenizer import Tokens

Removed = tuple[int, int]
"""Messages that are left out: the first, and the one behind the last."""

INSTRUCTING = ("system", "developer")


@frozen
class CutRows:
    """Some rows of a chunk. tokens: what is left of them. cut_tokens, cut_messages: int64[n], what is not."""

    tokens: Tokens
    cut_tokens: I64
    cut_messages: I64


class RowCutter:
    """Belongs to one workspace."""

    def __init__(self, config: Config, reader: RowReader, encoder: RowEncoder) -> None:
        self._config, self._reader, self._encoder = config, reader, encoder
        self._most = config.model.max_length or 0

    def cut(self, rows: Rows, chosen: I64, tokens: Tokens) -> CutRows:
        """chosen: int64[n], numbers of rows; tokens: theirs. The columns of the rows hold no longer."""
        nothing = np.zeros(len(chosen), np.int64)
        size = np.diff(tokens.offsets)
        if self._config.tokens.cut == "none" or not (size > self._most).any():
            return CutRows(tokens, nothing, nothing)
        if self._config.tokens.cut == "split":
            return self._teaching_pieces(tokens)
        if self._config.tokens.cut in ("turns_start", "turns_end"):
            return self._by_messages(rows, chosen, tokens)
        stays = np.minimum(size, self._most)
        begin = size - stays if self._config.tokens.cut == "cut_start" else nothing
        return CutRows(tokens.taken(np.arange(len(chosen)), begin, begin + stays), size - stays, nothing)

    def _teaching_pieces(self, tokens: Tokens) -> CutRows:
        """Rows that are to be split, without the pieces that would teach too little. All pieces of a row but
        its last are as long as a row may be: so they are known again where they stand one behind the
        other."""
        size = np.diff(tokens.offsets)
        count, offsets = pieces_within(tokens.offsets, self._most)
        trained = np.concatenate(([0], np.cumsum(tokens.weights != 0)))[offsets]
        teaches = (np.diff(trained) >= self._config.tokens.min_trained) | np.repeat(count == 1, count)
        length = np.diff(offsets)
        stays = np.repeat(teaches, length)
        left = np.bincount(np.repeat(np.arange(len(size)), count), length * teaches, len(size)).astype(
            np.int64
        )
        result = replace(
            tokens,
            ids=tokens.ids[stays],
            weights=tokens.weights[stays],
            offsets=np.concatenate(([0], np.cumsum(left))),
        ).taken(np.arange(len(size)))
        return CutRows(result, size - left, np.zeros(len(size), np.int64))

    def _by_messages(self, rows: Rows, chosen: I64, tokens: Tokens) -> CutRows:
        """A row that does not fit however short it is stays as it is."""
        column = rows.records.columns[self._config.data.mapping.messages or ""]
        size = np.diff(tokens.offsets)
        cut_messages = np.zeros(len(chosen), np.int64)
        searches = self._searches(column, chosen, np.flatnonzero(size > self._most))
        taken_from = np.arange(len(chosen))
        while open_searches := [search for search in searches if search.is_open]:
            shorter = self._shortened(rows, chosen, open_searches)
            fits = np.diff(shorter.offsets) <= self._most
            for number, search in enumerate(open_searches):
                begin, stop = search.removed
                if search.take(bool(fits[number])):
                    taken_from[search.place] = len(tokens) + number
                    cut_messages[search.place] = stop - begin
            tokens = tokens.followed_by(shorter)
        result = tokens.taken(taken_from)
        return CutRows(result, size - np.diff(result.offsets), cut_messages)

    def _searches(self, column: Spans, chosen: I64, long: I64) -> list[_Search]:
        """long: places among the chosen rows."""
        cut, mapping = self._config.tokens.cut, self._config.data.mapping
        spelled = {place: list_of(column, int(chosen[place]), mapping) for place in long.tolist()}
        return [
            _Search(place, each, removable(each.messages, cut))
            for place, each in spelled.items()
            if each is not None
        ]

    def _shortened(self, rows: Rows, chosen: I64, searches: Sequence[_Search]) -> Tokens:
        """The tokens of rows as they would be; of one that cannot be rendered so more than any may have."""
        name = self._config.data.mapping.messages or ""
        numbers = chosen[[search.place for search in searches]]
        lists = [search.spelled.without(*search.removed) for search in searches]
        column = column_of(rows.records.columns[name], numbers, lists)
        shorter = self._reader.with_column(rows, numbers, name, column)
        unknown = self._encoder.of_unknown_origin(shorter)
        good = np.setdiff1d(shorter.live, unknown)
        tokens = self._encoder.encode(shorter, good).tokens
        place = np.full(len(shorter), len(good), np.int64)
        place[good] = np.arange(len(good))
        return tokens.followed_by(_too_many(self._most)).taken(place)


@mutable
class _Search:
    """The search for the least that is to be left out of a row. place: its own among the chosen rows.
    choices: what may be left out, from the least to the most; more never makes a row longer."""

    place: int
    spelled: MessageList
    choices: Sequence[Removed]
    _low: int = field(init=False, default=0)
    _high: int = field(init=False)

    def __post_init__(self) -> None:
        self._high = len(self.choices)

    @property
    def is_open(self) -> bool:
        return self._low < self._high

    @property
    def _middle(self) -> int:
        return (self._low + self._high) // 2

    @property
    def removed(self) -> Removed:
        """What is left out in the next trial."""
        return self.choices[self._middle]

    def take(self, fits: bool) -> bool:
        """Whether the row fits so: the last choice of which it does is the least."""
        if fits:
            self._high = self._middle
        else:
            self._low = self._middle + 1
        return fits


def _too_many(most: int) -> Tokens:
    """A row of one token more than a row may have."""
    ids, one = np.zeros(most + 1, np.uint32), np.zeros(1, np.int64)
    return Tokens(ids, np.zeros(most + 1, np.uint8), np.array([0, most + 1], np.int64), one, one, one)


def removable(messages: Sequence[Message], cut: str) -> list[Removed]:
    """What may be left out of a conversation, from the least to the most. What instructs at its begin stays,
    and an answer; a tool's result stays with its call."""
    roles = [message["role"] for message in messages]
    head = next((number for number, role in enumerate(roles) if role not in INSTRUCTING), len(roles))
    if cut == "turns_end":
        ends = (number + 1 for number, role in enumerate(roles) if role == "assistant" and number >= head)
        return [(end, len(roles)) for end in ends if end < len(roles)][::-1]
    return [
        (head, begin)
        for begin in range(head + 1, len(roles))
        if roles[begin] == "user" and "assistant" in roles[begin:] and not _tears(roles[begin:])
    ]


def _tears(roles: Sequence[str]) -> bool:
    """Whether a result comes before any call."""
    first = next((role for role in roles if role not in (*INSTRUCTING, "user")), None)
    return first is not None and first != "assistant"
