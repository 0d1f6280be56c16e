"""Columns of message lists, flattened, in one pass over their bytes. See reference/messages.py."""

from collections.abc import Sequence

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.grammar import (
    BLANK,
    COMMA,
    OPEN_ARRAY,
    OPEN_OBJECT,
    OPEN_TO_CLOSE,
    after_blank,
    get_span,
    members_end,
    new_seams,
    put_span,
)
from forge_gpu.kernels.cpu.memory import byte, put_byte, whole
from forge_gpu.kernels.cpu.names import find_escaped, find_raw, next_name, pack_names
from forge_gpu.kernels.cpu.strings import INVALID, NONE, TWO
from forge_gpu.kernels.layout import (
    ABSENT,
    CANONICAL,
    CLEAN,
    CONTENT_FIRST,
    ESCAPED,
    JSON,
    MAX_DEPTH,
    NULL,
    ROLE_FIRST,
    WITH_LISTS,
    Messages,
    Spans,
)
from forge_gpu.kernels.reference.messages import UNKNOWN, check
from forge_gpu.kernels.scratch import Scratch

CLOSE_ARRAY = OPEN_ARRAY + OPEN_TO_CLOSE
MISSING_FIELD, NULL_FIELD, BAD_MESSAGES = (
    int(reason) for reason in (Reason.MISSING_FIELD, Reason.NULL_FIELD, Reason.BAD_MESSAGES)
)
ROLE, CONTENT = np.int64(0), np.int64(1)
FULL = INVALID - 256  # no fault of the row: there was no room for its messages


@inner
def _role(buffer, result, roles, expected):
    """The number of the role that a span spells, or UNKNOWN; `expected` is tried first."""
    start, length, kind = result
    role = -1
    if kind == CLEAN:
        role = find_raw(buffer, start, roles, expected)
    elif kind == CANONICAL or kind == ESCAPED:
        role = find_escaped(buffer, start, start + length, roles)
    return role if role >= 0 else UNKNOWN


@inner
def _list_end(buffer, p, closings, keys, seams, roles, m, role, columns):
    """(index after the list at p, its messages' end, its `plain`); messages go to m and after."""
    size = buffer[1]
    plain, lists = -1, 0  # not known yet; WITH_LISTS
    expected = NONE
    p = after_blank(buffer, p + 1, BLANK)
    if p < size and byte(buffer, p) == CLOSE_ARRAY:
        return p + 1, m, 0
    while True:
        if p >= size or byte(buffer, p) != OPEN_OBJECT:
            return INVALID, m, 0
        if m == columns[3]:
            return FULL, m, 0
        put_span(columns, ROLE, m, NONE, NONE, np.int64(ABSENT))
        put_span(columns, CONTENT, m, NONE, NONE, np.int64(ABSENT))
        p, _, _, members = members_end(buffer, p + 1, BLANK, TWO, closings, keys, seams, columns, m)
        if p < 0:
            return INVALID, m, 0
        role_at, content_at = get_span(columns, ROLE, m), get_span(columns, CONTENT, m)
        result = _role(buffer, role_at, roles, expected)
        put_byte(role, m, result)
        if result != UNKNOWN:
            expected = next_name(roles, result)
        kind = content_at[2]
        order = ROLE_FIRST if role_at[0] < content_at[0] else CONTENT_FIRST
        a_list = kind == JSON and byte(buffer, content_at[0]) == OPEN_ARRAY
        if a_list:
            lists = WITH_LISTS
        if result == UNKNOWN or members != 2 or (not CLEAN <= kind <= ESCAPED and not a_list):
            plain = 0
        elif plain < 0:
            plain = order
        elif plain != order:
            plain = 0
        m += 1
        p = after_blank(buffer, p, BLANK)
        if p >= size:
            return INVALID, m, 0
        c = byte(buffer, p)
        if c == CLOSE_ARRAY:
            return p + 1, m, plain + lists if plain > 0 else 0
        if c != COMMA:
            return INVALID, m, 0
        p = after_blank(buffer, p + 1, BLANK)


@kernel
def _scan_messages(buffer, starts, lengths, kinds, keys, seams, roles, closings, row, rows, role, columns):
    """Scan rows from `row` on, until the last or until there is no room for a message: the next row.

    starts, lengths, kinds: the rows. rows: (first, plain, reason). role: a buffer of a byte a message.
    seams, columns: see grammar; ROLE and CONTENT of each message.
    """
    first, plain, reason = rows
    while row < len(kinds):
        m = first[row]
        p, length, kind = starts[row], lengths[row], kinds[row]
        why, is_plain = 0, 0
        if kind == JSON and length > 0 and byte(buffer, p) == OPEN_ARRAY:
            end, next_m, is_plain = _list_end(buffer, p, closings, keys, seams, roles, m, role, columns)
            if end == FULL:
                break
            if end == p + length:
                m = next_m
            else:
                why, is_plain = BAD_MESSAGES, 0
        elif kind == NULL:
            why = NULL_FIELD
        else:
            why = MISSING_FIELD if kind == ABSENT else BAD_MESSAGES
        plain[row] = is_plain
        reason[row] = why
        row += 1
        first[row] = m
    return row


def scan_messages(
    column: Spans, roles: Sequence[str], role_key: str, content_key: str, scratch: Scratch | None = None
) -> Messages:
    """Flatten a column of JSON lists of objects. See reference/messages.py.

    The values are checked once more while they are read, so a span that no scan has checked does no
    harm. Bytes moved: the lists read once, 35 bytes written a message.
    """
    check(roles, role_key, content_key)
    scratch = scratch or Scratch()
    data = np.ascontiguousarray(column.data)
    (keys, key_count), (names, role_count) = pack_names((role_key, content_key)), pack_names(tuple(roles))
    closings = scratch.array("messages.closings", MAX_DEPTH, np.uint8)
    seams = new_seams(key_count, scratch)
    n, row = len(column), 0
    first = scratch.array("messages.first", n + 1, np.int64)
    plain = scratch.array("messages.plain", n, np.uint8)
    reason = scratch.array("messages.reason", n, np.uint8)
    first[0] = 0
    capacity = max(scratch.held("messages.role"), 4 * n + 64)
    result = _columns(scratch, capacity)
    while True:
        row = _scan_messages(
            whole(data),
            column.start,
            column.length,
            column.kind,
            (whole(keys), key_count),
            whole(seams),
            (whole(names), role_count),
            whole(closings),
            row,
            (first, plain, reason),
            whole(result[0]),
            (*map(whole, result[1:]), capacity),
        )
        if row == n:
            break
        capacity *= 2
        full, result = result, _columns(scratch, capacity)
        for new, old in zip(result, full, strict=True):
            new[:, : first[row]] = old[:, : first[row]]
    m = first[n]
    role, start, length, kind = result
    content = Spans(column.data, start[CONTENT, :m], length[CONTENT, :m], kind[CONTENT, :m])
    return Messages(first, role[0, :m], content, plain, reason)


def _columns(scratch, messages):
    """Role numbers, uint8[1, c]; start, length and kind of roles and contents, [2, c]."""
    return tuple(
        scratch.array(f"messages.{name}", count * messages, dtype).reshape(count, messages)
        for name, count, dtype in (
            ("role", 1, np.uint8),
            ("start", 2, np.int64),
            ("length", 2, np.int64),
            ("kind", 2, np.uint8),
        )
    )
