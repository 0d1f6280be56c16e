"""Where the records of JSON text that begins with a brace are: told from its first bytes."""

from __future__ import annotations

import re
from typing import Any

import orjson

from forge_gpu.io.json_cursor import is_json
from forge_gpu.io.json_layouts import Kind, Layout

MOST_BYTES = 2**18
"""Of a text that is longer, so much is looked at; the values it cuts are closed."""
MOST_LINES = 200
MOST_DEPTH = 3
"""Objects inside objects in which a list of records is looked for."""
MANY = 10
"""Elements of a list that are more than one record has."""
SPEAKERS = frozenset({"role", "from", "speaker", "author", "sender"})
"""Keys of messages: a list of such is a conversation, and so one record."""
CONTAINERS = frozenset(
    ("data", "dataset", "entries", "examples", "items", "records", "results", "rows", "samples", "train")
)
"""Keys under which files have their records."""
_BETWEEN = b" \t\r\n\0\xef\xbb\xbf"
"""What may stand between records beside a comma: blanks, zeros, byte order marks."""
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)
_CLOSING = {ord("["): b"]", ord("{"): b"}"}


def layout_of(head: bytes, whole: bool, follows: bytes = b"") -> Layout | None:
    """None where it is lines of records, or one record, or nothing that is known.

    head: the first bytes, decoded, without a byte order mark; whole: whether they are all. follows: the bytes
    after a first line that is longer than the head.
    """
    begin = len(head) - len(head.lstrip())
    if head[begin : begin + 1] != b"{":
        return None
    text, end = _closed(head[begin : begin + MOST_BYTES])
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    rest = head[begin + end :] if end else b""
    if end and rest.strip(_BETWEEN + b","):
        return Layout("stream") if _is_stream(text, head) else None
    if (not end and whole and len(head) <= MOST_BYTES) or follows.lstrip()[:1] == b"{":
        return None  # it is cut, or the first of several
    is_spread = b"\n" in text.strip()
    return _within(value, bool(end), is_spread) if isinstance(value, dict) else None


def _closed(text: bytes) -> tuple[bytes, int]:
    """(the first value, and where it ends): as much of it as there is, closed, and 0 where it is cut."""
    stack = bytearray()
    safe, closers = 1, b"}"
    for match in _TOKEN.finditer(text):
        sign = text[match.start()]
        if sign in b"[{":
            stack += _CLOSING[sign]
            if len(stack) > 900:
                break
        elif sign in b"]}":
            if not stack or stack.pop() != sign:
                return text, 0
            if not stack:
                return text[: match.end()], match.end()
            safe, closers = match.end(), bytes(reversed(stack))
        elif sign == ord(","):
            safe, closers = match.start(), bytes(reversed(stack))
    return text[:safe] + closers, 0


def _is_stream(first: bytes, head: bytes) -> bool:
    """Whether records are on several lines each, or several on a line."""
    after = head.lstrip()[len(first) :].lstrip(b" \t,")
    if b"\n" in first.strip() or after[:1] == b"{" or (after[:1] == b"\r" and after[1:2] != b"\n"):
        return _begins_object(after)
    return any(_holds_several(line) for line in head.split(b"\n", MOST_LINES)[:MOST_LINES])


def _begins_object(text: bytes) -> bool:
    return text.lstrip(_BETWEEN)[:1] == b"{"


def _holds_several(line: bytes) -> bool:
    """Whether a line holds one record after another."""
    if not line.startswith(b"{") or is_json(line):
        return False
    first, end = _closed(line[:MOST_BYTES])
    return 0 < end < len(line) and _begins_object(line[end:].lstrip(b" \t,")) and is_json(first)


def _within(value: dict[str, Any], is_whole: bool, is_spread: bool) -> Layout | None:
    """The layout of an object that holds all records. is_whole: whether nothing of it is cut. is_spread:
    whether it stands on several lines, as no record of lines of records does."""
    if not value:
        return None
    kind = _by_rows(value, is_whole)
    return Layout(kind) if kind is not None else _below(value, is_whole, is_spread)


def _below(
    value: dict[str, Any], is_whole: bool, is_spread: bool, path: tuple[str, ...] = ()
) -> Layout | None:
    """The one list of records under a key of an object, or of objects in it."""
    lists = [key for key, inner in value.items() if _is_records(inner)]
    if len(lists) == 1:
        rows = value[lists[0]]
        others = [inner for key, inner in value.items() if key != lists[0]]
        is_file = is_spread or not is_whole or len(rows) >= MANY or lists[0].lower() in CONTAINERS
        is_column = any(isinstance(each, list) and len(each) == len(rows) > 1 for each in others)
        return Layout("list", (*path, lists[0])) if is_file and not is_column else None
    objects = [key for key, inner in value.items() if isinstance(inner, dict)]
    if lists or len(objects) != 1 or len(path) + 1 >= MOST_DEPTH:
        return None
    return _below(value[objects[0]], is_whole, is_spread, (*path, objects[0]))


def _by_rows(value: dict[str, Any], is_whole: bool) -> Kind | None:
    """The kind of a layout whose object holds rows itself, and nothing else."""
    inner = list(value.values())
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        rows = value["data"]
        if rows and all(isinstance(row, list) and len(row) <= len(value["columns"]) for row in rows):
            return "split"
    if all(isinstance(each, list) for each in inner):
        return "columns" if _are_columns(inner, is_whole) else None
    if not all(isinstance(each, dict) for each in inner):
        return None
    names = [set(each) for each in inner if each]
    if names and all(name.isdecimal() for each in names for name in each):
        return "numbered"
    shared = set.intersection(*names) if names else set()
    return "ids" if len(inner) > 1 and len(shared) > 1 and not shared & SPEAKERS else None


def _are_columns(lists: list[list[Any]], is_whole: bool) -> bool:
    """Whether lists are columns: equally many values, two or more, and not records or messages."""
    sizes = {len(each) for each in lists}
    if is_whole and (len(lists) < 2 or len(sizes) > 1):
        return False
    of_objects = [each for each in lists if any(isinstance(value, dict) for value in each[:3])]
    has_messages = any(not _is_records(each) for each in of_objects)
    return max(sizes) > 1 and len(of_objects) < len(lists) and not has_messages


def _is_records(value: Any) -> bool:
    """Whether a list holds records, and no messages."""
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value[:20]):
        return False
    return not any(SPEAKERS & {name.lower() for name in each} for each in value[:20])


def lists_of_records(head: bytes) -> list[str]:
    """The keys of one object under which there are lists of records, for a message."""
    try:
        value = orjson.loads(_closed(head.lstrip()[:MOST_BYTES])[0])
    except orjson.JSONDecodeError:
        return []
    return [key for key, inner in value.items() if _is_records(inner)] if isinstance(value, dict) else []
