"""JSON as RFC 8259 has it, no byte more: the plain meaning of `kernels/cpu/grammar.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import CANONICAL, CLEAN, ESCAPED, JSON, MAX_DEPTH, NULL

BLANK = b" \t\r\n"
STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"')
ESCAPE = re.compile(rb"\\(.)")
SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null")

Visit = Callable[[bytes, int, int], None]
"""Called with the body of the key (empty in an array) and the first and last+1 index of each value."""


class Fault(Exception):
    """The text is no JSON value; carries the Reason."""

    def __init__(self, reason: Reason = Reason.INVALID_JSON) -> None:
        super().__init__(reason.name)
        self.reason = reason


def after_blank(text: bytes, at: int) -> int:
    """Index of the first byte from `at` on that is no white space."""
    while text[at : at + 1] and text[at] in BLANK:
        at += 1
    return at


def value_end(text: bytes, at: int, depth: int = 1, visit: Visit | None = None) -> int:
    """Index after the value whose text starts at `at`; its own children are shown to `visit`.

    `depth` is that of the value if it is an array or object. Raises Fault: INVALID_JSON, TOO_DEEP.
    """
    opening = text[at : at + 1]
    if opening not in (b"{", b"["):
        match = STRING.match(text, at) or SCALAR.match(text, at)
        if not match:
            raise Fault
        return match.end()
    if depth > MAX_DEPTH:
        raise Fault(Reason.TOO_DEEP)
    closing = b"}" if opening == b"{" else b"]"
    at = after_blank(text, at + 1)
    if text[at : at + 1] == closing:
        return at + 1
    while True:
        key = b""
        if opening == b"{":
            match = STRING.match(text, at)
            at = after_blank(text, match.end()) if match else at
            if not match or text[at : at + 1] != b":":
                raise Fault
            key = match[1]
            at = after_blank(text, at + 1)
        end = value_end(text, at, depth + 1)
        if visit:
            visit(key, at, end)
        at = after_blank(text, end)
        if text[at : at + 1] == closing:
            return at + 1
        if text[at : at + 1] != b",":
            raise Fault
        at = after_blank(text, at + 1)


def decoded(body: bytes) -> str:
    """The text of a string's body; lone surrogates, and bytes that are no UTF-8, stay in it as surrogates."""
    text: str = json.loads('"' + body.decode(errors="surrogateescape") + '"')
    return text


def has_lone_surrogate(text: bytes) -> bool:
    """Whether a string of the valid JSON `text` holds an escape such as \\ud800 without its other half."""
    return any(
        "\ud800" <= character <= "\udfff"
        for match in STRING.finditer(text)
        if rb"\u" in match[1]
        for character in decoded(match[1])
    )


def _kind_of_body(body: bytes) -> int:
    letters = ESCAPE.findall(body)
    if not letters:
        return CLEAN
    return ESCAPED if b"/" in letters or b"u" in letters else CANONICAL


def span_of(text: bytes, start: int, end: int) -> tuple[int, int, int]:
    """(start, length, kind) of the valid value text[start:end], as `layout.Spans` wants it."""
    if text[start] == ord('"'):
        body = text[start + 1 : end - 1]
        return start + 1, len(body), _kind_of_body(body)
    if text[start:end] == b"null":
        return 0, 0, NULL
    return start, end - start, JSON
