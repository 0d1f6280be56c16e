"""Rows whose contents spell a token that only a template writes: a model that is trained on them learns that
a question can end the user's turn and begin the system's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from ruamel.yaml import YAML

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.kernels.cpu.added_tokens import cut
from forge_gpu.kernels.layout import I64, U8, Spans, Text
from forge_gpu.kernels.token_layout import GUARDED, WORD_BITS, AddedTokens, Runs, added_tokens
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.forms import form_of

Bools = npt.NDArray[np.bool_]


ESCAPE = b"\\u00"
"""What begins an escape in JSON that may stand for a letter of a token."""
SEARCHED = 2**18
"""Bytes that are searched at once."""


class ControlTokens:
    """Some tokens, looked for in contents."""

    def __init__(self, tokens: Iterable[str]) -> None:
        contents = sorted({token.encode() for token in tokens if token})
        self._tokens, self._hints = _guarded(contents), [*contents, ESCAPE]

    def __bool__(self) -> bool:
        return len(self._tokens.id) > 0

    def spelled(self, columns: Sequence[Spans], engine: Engine) -> Bools:
        """bool[n]: rows that spell one in a column. Of JSON values: as they stand there.

        All are searched as they are spelled; those that have a token there, or an escape that may hide one,
        are decoded.
        """
        suspects = np.zeros(len(columns[0]), np.bool_)
        for column in columns:
            suspects |= spelling(column, self._hints)
        rows = np.flatnonzero(suspects)
        spelled = np.zeros(len(rows), np.bool_)
        for column in columns if len(rows) else ():
            some = column.over(column.start[rows], column.length[rows], column.kind[rows])
            text = engine.text(some)
            spelled |= _holds(Text(text.data, text.offsets), self._tokens)
        suspects[rows] = spelled
        return suspects


def spelling(column: Spans, words: Sequence[bytes]) -> Bools:
    """bool[n]: values that have one of some words, as they are spelled."""
    used = np.flatnonzero(column.length)
    start, stop = column.start[used], column.start[used] + column.length[used]
    result = np.zeros(len(column), np.bool_)
    if not len(used):
        return result
    if (start[1:] < stop[:-1]).any():  # as of a dictionary, whose values stand for many rows
        order = np.argsort(start, kind="stable")
        return _spelling_of_each(column, used[order], words)
    low = int(start[0])
    for word, at in _places(column.data[low : int(stop[-1])], words):
        row = np.searchsorted(start, at + low, side="right") - 1
        result[used[row[at + low + len(word) <= stop[row]]]] = True
    return result


def _spelling_of_each(column: Spans, rows: I64, words: Sequence[bytes]) -> Bools:
    """Of values that may share their bytes: each range of bytes is searched once."""
    result = np.zeros(len(column), np.bool_)
    ranges = np.stack([column.start[rows], column.length[rows]], 1)
    distinct, of = np.unique(ranges, axis=0, return_inverse=True)
    holds = [
        any(word in column.data[begin : begin + size].tobytes() for word in words)
        for begin, size in distinct.tolist()
    ]
    result[rows] = np.array(holds)[of]
    return result


def _places(data: U8, words: Sequence[bytes]) -> Iterator[tuple[bytes, I64]]:
    """Where each word begins in the data. Its first two bytes are compared everywhere, in blocks that stay in
    a core's cache; the rest of it where these are."""
    heads = {word[:2]: [other for other in words if other[:2] == word[:2]] for word in words}
    for begin in range(0, len(data), SEARCHED):
        block, behind = data[begin : begin + SEARCHED], data[begin + 1 : begin + SEARCHED + 1]
        for head, some in heads.items():
            is_head = block == head[0]
            if len(head) > 1:
                is_head = is_head[: len(behind)] & (behind == head[1])
            places = np.flatnonzero(is_head) + begin
            for word in some if len(places) else ():
                at = places[places <= len(data) - len(word)]
                for place in range(2, len(word)):
                    at = at[data[at + place] == word[place]]
                if len(at):
                    yield word, at


def _guarded(contents: list[bytes]) -> AddedTokens:
    no_words = np.zeros(WORD_BITS, np.uint8)
    return added_tokens(contents, list(range(len(contents))), [GUARDED] * len(contents), no_words)


def _holds(texts: Text, tokens: AddedTokens) -> Bools:
    nothing = np.zeros(0, np.int64)
    none = Runs(np.zeros(len(texts) + 1, np.int64), nothing, nothing)
    return cut(texts, none, tokens).guarded > 0


def tokens_of_template(config: Config) -> frozenset[str]:
    """The control tokens that a plan's template writes, and those that the model has: [] where nothing is
    rendered."""
    model = config.model
    if not form_of(config).is_rendered or model.template_kind == "none":
        return frozenset()
    source = model.chat_template or ""
    if model.template_kind == "builtin":
        source = builtin(source).template
    return frozenset(pattern().findall(source)) | {
        token for name, token in model.special_tokens.items() if name != "unk_token" and len(token) > 1
    }


@cache
def pattern() -> re.Pattern[str]:
    """How control tokens look in a template."""
    text = (files("forge_gpu.quality") / "control_tokens.yaml").read_text(encoding="utf-8")
    return re.compile("|".join(YAML(typ="safe", pure=True).load(text)["patterns"]))
