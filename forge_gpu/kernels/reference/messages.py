"""Columns of message lists, flattened: the plain meaning of `kernels/cpu/messages.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import (
    ABSENT,
    BODIES,
    CONTENT_FIRST,
    JSON,
    NULL,
    ROLE_FIRST,
    WITH_LISTS,
    Messages,
    Spans,
)
from forge_gpu.kernels.reference.grammar import Fault, decoded, span_of, value_end
from forge_gpu.kernels.scratch import Scratch

UNKNOWN = 255
"""The role of a message whose role is none of those asked for, or no string."""

Found = tuple[int, int, int]
"""(start, length, kind) of a value."""


def scan_messages(
    column: Spans, roles: Sequence[str], role_key: str, content_key: str, scratch: Scratch | None = None
) -> Messages:
    """Flatten a column of JSON lists of objects into messages with a role and a content.

    A row that is no JSON list of objects has a reason and no messages: MISSING_FIELD where it is ABSENT,
    NULL_FIELD where it is NULL, else BAD_MESSAGES. A content is ABSENT where its object has none. Of equal
    keys in an object the last counts, and the row is not plain. An empty list has no reason and is not plain,
    nor is a row whose messages spell their keys in different orders.
    Raises ValueError where the keys are the same or there are more than 255 roles, or two alike.
    """
    check(roles, role_key, content_key)
    first, role, contents, plain, reason = [0], [], [], [], []
    for i in range(len(column)):
        result, why = _objects(column, i)
        row = [
            (_role(column, m.get(role_key), roles), m.get(content_key, (0, 0, ABSENT)), n) for m, n in result
        ]
        role += [code for code, _, _ in row]
        contents += [content for _, content, _ in row]
        first.append(len(role))
        lists = [at[2] == JSON and column.data[at[0]] == ord("[") for _, at, _ in row]
        good = [
            code != UNKNOWN and n == 2 and (at[2] in BODIES or a_list)
            for (code, at, n), a_list in zip(row, lists, strict=True)
        ]
        orders = {ROLE_FIRST if list(m)[:1] == [role_key] else CONTENT_FIRST for m, _ in result}
        order = orders.pop() if len(orders) == 1 and all(good) else 0
        plain.append(order + WITH_LISTS if order and any(lists) else order)
        reason.append(why)
    spans = np.array(contents, np.int64).reshape(-1, 3)
    return Messages(
        np.array(first, np.int64),
        np.array(role, np.uint8),
        Spans(column.data, spans[:, 0], spans[:, 1], spans[:, 2].astype(np.uint8)),
        np.array(plain, np.uint8),
        np.array(reason, np.uint8),
    )


def check(roles: Sequence[str], role_key: str, content_key: str) -> None:
    """Raises ValueError where `scan_messages` cannot be asked so."""
    if len(set(roles)) != len(roles) or len(roles) > UNKNOWN:
        raise ValueError("roles are at most 255, all different")
    if role_key == content_key:
        raise ValueError(f"role and content of a message have the same key {role_key!r}")


def _objects(column: Spans, i: int) -> tuple[list[tuple[dict[str, Found], int]], Reason]:
    """The messages of row i, each with the number of its members, and the reason if there are none."""
    kind, offset, text = column.kind[i], int(column.start[i]), column.raw(i)
    if kind != JSON or text[:1] != b"[":
        return [], {NULL: Reason.NULL_FIELD, ABSENT: Reason.MISSING_FIELD}.get(kind, Reason.BAD_MESSAGES)
    result: list[tuple[dict[str, Found], int]] = []

    def message(_: bytes, start: int, end: int) -> None:
        members: list[tuple[str, Found]] = []

        def member(key: bytes, at: int, end: int) -> None:
            start, length, kind = span_of(text, at, end)
            members.append((decoded(key), (start + offset if kind != NULL else 0, length, kind)))

        if text[start : start + 1] != b"{":
            raise Fault
        value_end(text, start, visit=member)
        result.append((dict(members), len(members)))

    try:
        good = value_end(text, 0, visit=message) == len(text)
    except Fault:
        good = False
    return (result, Reason.NONE) if good else ([], Reason.BAD_MESSAGES)


def _role(column: Spans, result: Found | None, roles: Sequence[str]) -> int:
    if result is None or result[2] not in BODIES:
        return UNKNOWN
    start, length, _ = result
    name = decoded(column.data[start : start + length].tobytes())
    return roles.index(name) if name in roles else UNKNOWN
