"""Columns of message lists, flattened on the device (see reference/messages.py): lists that are plainly good.

A thread walks a list from left to right (see grammar), once to count its messages and once more to write
them, so nothing has to be guessed or kept between. What it does not fully understand it hands over: a list
with a fault of any kind, an escape in a key or in a role, or values nested too deep. So only what a row's
kind says is refused here.

Bytes moved: the lists twice, 18 a message and about 70 a row. Expected: as the walk of scan, twice; so lists
of 1 kB take about a fifth of the time in which their bytes arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.cuda.device import Device, function, kernel, offsets_of, places_there, scalar
from forge_gpu.kernels.cuda.grammar import after_blank, member_end, name_of, names_there
from forge_gpu.kernels.cuda.memory import byte, thread
from forge_gpu.kernels.layout import (
    ABSENT,
    CLEAN,
    CONTENT_FIRST,
    ESCAPED,
    JSON,
    NULL,
    ROLE_FIRST,
    WITH_LISTS,
    Spans,
)
from forge_gpu.kernels.reference.messages import UNKNOWN, check

HANDED = 255
"""In the place of a reason: the host is to flatten the row."""

NO_MESSAGES, NULL_FIELD, MISSING_FIELD = map(
    int, (Reason.BAD_MESSAGES, Reason.NULL_FIELD, Reason.MISSING_FIELD)
)
ROLE = 0
"""The name that is the role's; the other is the content's."""


class FlatLists(NamedTuple):
    """What layout.Messages has, on the device: start, length and kind are of the contents. Rows whose reason
    is HANDED have no messages here."""

    first: Any
    role: Any
    start: Any
    length: Any
    kind: Any
    plain: Any
    reason: Any


@function
def _message_end(memory, words, p, end, keys, key_bounds, roles, role_bounds):
    """(index after the object whose opening bracket is just before p, or -1; its role, its content's start,
    length and kind; its part of the row's `plain`, 0 where the row is not plain)"""
    members = np.int64(0)
    role_at = role_size = at = size = np.int64(0)
    role_kind = kind = np.int64(ABSENT)
    nowhere = np.int64(-1)
    p = after_blank(memory, p, end)
    after = p + 1 if p < end and byte(memory, p) == 125 else nowhere
    while after < 0 and p < end and byte(memory, p) == 34:
        p, k, begin, count, what = member_end(memory, words, p, end, keys, key_bounds)
        if p < 0:
            break
        members += 1
        if k == ROLE:
            role_at, role_size, role_kind = begin, count, what
        elif k > ROLE:
            at, size, kind = begin, count, what
        p = after_blank(memory, p, end)
        if p >= end:
            break
        c = byte(memory, p)
        if c == 125:
            after = p + 1
        elif c != 44:
            break
        p = after_blank(memory, p + 1, end)
    if after < 0 or (role_kind > CLEAN and role_kind <= ESCAPED):
        return nowhere, np.int64(0), at, size, kind, np.int64(0)
    role = name_of(memory, role_at, role_size, roles, role_bounds) if role_kind == CLEAN else nowhere
    plain = np.int64(ROLE_FIRST if role_at < at else CONTENT_FIRST)
    if kind == JSON and byte(memory, at) == 91:
        plain |= WITH_LISTS
    elif kind < CLEAN or kind > ESCAPED:
        plain = np.int64(0)
    if role < 0 or members != 2:
        plain = np.int64(0)
    return after, role if role >= 0 else np.int64(UNKNOWN), at, size, kind, plain


@kernel
def walk(
    memory, words, base, start, length, kind, keys, key_bounds, roles, role_bounds, writes, first, plain,
    reason, role, at, size, what,
):  # fmt: skip
    """Row i, by a thread: first[i] = how many messages it has, with its `plain` and its reason or HANDED.
    Where `writes` is not 0: its messages, from first[i] of role, at, size and what on; nothing of rows with a
    reason.

    start, length: int64[n] and kind: uint8[n], the rows. keys, roles: see grammar.names_there. first:
    int64[n + 1]; plain, reason: uint8[n]; role, what: uint8[m]; at, size: int64[m], the contents.
    """
    i = thread()
    if i >= len(kind):
        return
    if writes != 0 and reason[i] != 0:
        return
    why, together, common = np.int64(HANDED), np.int64(0), np.int64(-1)
    m = first[i] if writes != 0 else np.int64(0)
    p = base + start[i]
    end = p + length[i]
    if kind[i] <= NULL:
        why = np.int64(NULL_FIELD if kind[i] == NULL else MISSING_FIELD)
    elif kind[i] != JSON or p == end or byte(memory, p) != 91:
        why = np.int64(NO_MESSAGES)
    else:
        p = after_blank(memory, p + 1, end)
        if p < end and byte(memory, p) == 93:
            why = np.int64(0 if p + 1 == end else HANDED)
            p = end
        while p < end and byte(memory, p) == 123:
            p, number, begin, count, form, own = _message_end(
                memory, words, p + 1, end, keys, key_bounds, roles, role_bounds
            )
            if p < 0:
                break
            if writes != 0:
                role[m] = number
                at[m] = begin - base if form > NULL else 0
                size[m] = count
                what[m] = form
            m += 1
            order = own & ~WITH_LISTS
            together |= own & WITH_LISTS
            common = order if common < 0 or common == order else np.int64(0)
            p = after_blank(memory, p, end)
            if p >= end:
                break
            c = byte(memory, p)
            if c != 44:
                why = np.int64(0 if c == 93 and p + 1 == end else HANDED)
                break
            p = after_blank(memory, p + 1, end)
    if writes == 0:
        first[i] = m if why == 0 else 0
        plain[i] = common | together if why == 0 and common > 0 else 0
        reason[i] = why


def scan_messages(
    column: Spans, roles: Sequence[str], role_key: str, content_key: str, device: Device
) -> FlatLists:
    """Flatten a column of JSON lists of objects; see the reference, but for the rows that are HANDED. The
    column's bytes may be on the host or the device. Raises ValueError as the reference does."""
    check(roles, role_key, content_key)
    n = len(column.kind)
    memory, words, bases = device.window([column.data])
    rows = *places_there(column, device), *names_there((role_key, content_key), device)
    names = names_there(roles, device)
    counts = device.xp.zeros(n, np.int64)
    plain, reason = device.xp.zeros(n, np.uint8), device.xp.zeros(n, np.uint8)

    def launch(writes: int, first: Any, *messages: Any) -> None:
        lists = memory, words, bases[0], *rows, *names
        device.launch(walk, n, *lists, writes, first, plain, reason, *messages)

    def room(count: int) -> list[Any]:
        return [device.xp.empty(count, dtype) for dtype in (np.uint8, np.int64, np.int64, np.uint8)]

    launch(0, counts, *room(1))
    first = offsets_of(device, counts)
    messages = room(scalar(device, first, -1))
    if len(messages[0]):
        launch(1, first, *messages)
    return FlatLists(first, *messages, plain, reason)
