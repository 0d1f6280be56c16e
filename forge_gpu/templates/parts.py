"""Contents that are lists of text parts: each part becomes a text beside the contents that are texts.

A row is a sequence of texts then, and its shape says which of them are the parts of one list.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from forge_gpu.engine.base import Engine
from forge_gpu.kernels.layout import CONTENT_FIRST, I64, JSON, ROLE_FIRST, U8, WITH_LISTS, Messages, Spans

Bools = npt.NDArray[np.bool_]

STYLES = 4
"""How a text stands: 0 alone, ROLE_FIRST or CONTENT_FIRST as the first part of a list whose parts all spell
`type` before `text` or after it, NEXT as a later part."""
NEXT = 3


def unfold(messages: Messages, engine: Engine) -> tuple[Messages, U8, Bools]:
    """Unfold the rows whose `plain` has WITH_LISTS; others keep a text for each message.

    Returns the texts, in the place of messages: `first`, `role` and `content` count them; the style of each,
    uint8; and which rows have lists, all of them of text parts, bool[n].
    """
    messages = _copy(messages)  # the engine is asked once more for messages: those are the parts
    content, count = messages.content, np.diff(messages.first)
    rows = (messages.plain & WITH_LISTS) != 0
    row_of = np.repeat(np.arange(len(rows)), count)
    lists = np.flatnonzero(rows[row_of] & (content.kind == JSON))
    parts = engine.messages(_taken(content, lists), ("text",), "type", "text")
    good = (parts.plain == ROLE_FIRST) | (parts.plain == CONTENT_FIRST)
    rows[row_of[lists[~good]]] = False
    good = rows[row_of[lists]]
    lists = lists[good]

    size = np.ones(len(row_of), np.int64)
    size[lists] = np.diff(parts.first)[good]
    end = np.concatenate([[0], np.cumsum(size)])
    message = np.repeat(np.arange(len(row_of)), size)
    texts = _taken(content, message)
    listed = np.zeros(len(row_of), np.bool_)
    listed[lists] = True
    at = np.flatnonzero(listed[message])
    part = np.flatnonzero(np.repeat(good, np.diff(parts.first)))
    texts.start[at], texts.length[at], texts.kind[at] = (
        getattr(parts.content, name)[part] for name in ("start", "length", "kind")
    )
    style = np.zeros(len(message), np.uint8)
    style[at] = NEXT
    style[end[lists]] = parts.plain[good]
    unfolded = replace(messages, first=end[messages.first], role=messages.role[message], content=texts)
    return unfolded, style, rows


def _copy(messages: Messages) -> Messages:
    return replace(
        messages,
        first=messages.first.copy(),
        role=messages.role.copy(),
        content=_taken(messages.content, np.arange(len(messages.content))),
        plain=messages.plain.copy(),
        reason=messages.reason.copy(),
    )


def _taken(column: Spans, at: I64) -> Spans:
    return column.over(column.start[at], column.length[at], column.kind[at])
