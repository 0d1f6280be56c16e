"""Which values of a column spell a word. See reference/spelled.py.

Sixty-four bytes at a time are compared with the bytes that words begin with; from where one stands a trie is
walked. A body in the canonical form is searched as it is spelled, since there a word has no escape, unless it
has a character that needs one; only what seems to be there is looked for again in the unescaped text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.added_tokens import MOST_LEADS, next_lead
from forge_gpu.kernels.cpu.jsontext import contiguous, unescape
from forge_gpu.kernels.cpu.memory import byte, item64, whole
from forge_gpu.kernels.layout import CANONICAL, ESCAPED, I32, I64, JSON, NULL, PADDING, U8, Spans
from forge_gpu.kernels.reference.jsontext import escape
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.kernels.token_layout import WORD_BITS, added_tokens


class Words(NamedTuple):
    """What is looked for: a trie as token_layout.AddedTokens has it. leads: int64[...], the bytes that words
    begin with; none where they are too many to be compared. escaped: whether a word has a character that is
    escaped in JSON."""

    next: I32
    token: I32
    begins: U8
    leads: I64
    escaped: bool


def words_of(texts: Iterable[bytes]) -> Words:
    """Some words, as the kernel takes them; empty ones are left out."""
    words = sorted({text for text in texts if text})
    trie = added_tokens(words, [0] * len(words), [0] * len(words), np.zeros(WORD_BITS, np.uint8))
    leads = np.flatnonzero(trie.begins)
    escaped = any(escape(word) != word for word in words)
    return Words(
        trie.next, trie.token, trie.begins, leads if len(leads) <= MOST_LEADS else leads[:0], escaped
    )


@inner
def _holds(data, at, end, following, token, begins, leads):
    """Whether a word stands in [at, end)."""
    while True:
        at = next_lead(data, at, end, begins, leads)
        if at >= end:
            return False
        node, i = following[0, byte(data, at)], at + 1
        while node != 0:
            if token[node] >= 0:
                return True
            if i == end:
                break
            node = following[node, byte(data, i)]
            i += 1
        at += 1


@kernel
def _spelled(source, start, length, kind, target, following, token, begins, leads, escaped, found):
    """target: room for an unescaped value. Returns the first value that cannot be read, or -1."""
    for r in range(len(found)):
        i, size, what = item64(start, r), item64(length, r), byte(kind, r)
        if i < 0 or size < 0 or size > source[1] or i > source[1] - size or what > JSON:
            return r
        found[r] = 0
        if what <= NULL:
            continue
        if what != ESCAPED and not (what == CANONICAL and escaped):
            if not _holds(source, i, i + size, following, token, begins, leads):
                continue
            if what != CANONICAL:
                found[r] = 1
                continue
        end = unescape(target, np.int64(0), source, i, size)
        found[r] = _holds(target, np.int64(0), end, following, token, begins, leads)
    return -1


def spelled(column: Spans, words: Words, scratch: Scratch) -> U8:
    """uint8[n]: 1 where the text of the value holds a word; valid until the next call with the same scratch.

    Raises ValueError where a span lies outside its buffer or has no known kind. Bytes moved: the values once,
    those with other escapes than the canonical ones twice more.
    """
    data, start, length, kind = contiguous(column)
    found = scratch.array("spelled.found", len(column), np.uint8)
    longest = min(int(length.max(initial=0)), len(data))
    target = scratch.array("spelled.target", longest + PADDING, np.uint8)
    spans = whole(data), whole(start), whole(length), whole(kind)
    bad = _spelled(*spans, whole(target), *words, found)
    if bad >= 0:
        raise ValueError(f"value {bad} of a column lies outside its buffer or has an unknown kind")
    return found
