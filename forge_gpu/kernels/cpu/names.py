"""Names looked for in JSON strings: keys of records, roles of messages."""

import re
from functools import lru_cache

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import byte, word
from forge_gpu.kernels.cpu.strings import BACKSLASH, NONE, QUOTE, escape
from forge_gpu.kernels.layout import PADDING, U8

NAME_ENTRY = 24  # bytes: where the name's text is, its length, 1 if JSON may spell it with its own bytes


@lru_cache(maxsize=64)
def pack_names(names: tuple[str, ...]) -> tuple[U8, int]:
    """(table, n) of names to look for; kernels take `((address, size), n)`.

    table: uint8, an entry of three int64 a name, then the names in UTF-8 and PADDING. A name with a
    quote, a backslash, a control character or half a surrogate pair cannot be spelled with its own bytes.
    """
    bodies = [name.encode(errors="surrogatepass") for name in names]
    entries = np.empty((len(bodies), 3), np.int64)
    entries[:, 1] = [len(body) for body in bodies]
    entries[:, 0] = NAME_ENTRY * len(bodies) + np.cumsum(entries[:, 1]) - entries[:, 1]
    entries[:, 2] = [not re.search(r'[\x00-\x1f"\\\ud800-\udfff]', name) for name in names]
    table = entries.tobytes() + b"".join(bodies) + bytes(PADDING)
    return np.frombuffer(table, np.uint8), len(bodies)


@inner
def _name(names, k):
    """(table, first byte, length, 1 if JSON may spell it raw) of name k."""
    table, at = names[0], NAME_ENTRY * k
    return table, np.int64(word(table, at)), np.int64(word(table, at + 8)), np.int64(word(table, at + 16))


@inner
def name_length(names, k):
    return _name(names, k)[2]


@inner
def next_name(names, k):
    return k + 1 if k + 1 < names[1] else NONE


@inner
def _same(buffer, p, text, at, count):
    """Whether `count` bytes are equal; `text` has PADDING after it."""
    while count >= 8:
        if word(buffer, p) != word(text, at):
            return False
        p += 8
        at += 8
        count -= 8
    if p + 8 <= buffer[1]:
        difference = word(buffer, p) ^ word(text, at)
        return count == 0 or difference << np.uint64(64 - 8 * count) == 0
    while count > 0 and byte(buffer, p) == byte(text, at):
        p += 1
        at += 1
        count -= 1
    return count == 0


@inner
def _spells(buffer, p, end, text, at, stop):
    """Whether the string body [p, end), decoded, is the bytes [at, stop) of `text`."""
    while p < end:
        code = byte(buffer, p)
        count = 1
        if code == BACKSLASH:
            p, code = escape(buffer, p)
            if p < 0 or 0xD800 <= code < 0xE000:
                return False
            count = 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)
        else:
            p += 1
        if at + count > stop:
            return False
        for k in range(count):
            unit = code >> (6 * (count - 1 - k))
            if count > 1:
                unit = (0xF00 >> count & 0xFF) | unit if k == 0 else 0x80 | unit & 0x3F
            if byte(text, at + k) != unit:
                return False
        at += count
    return at == stop


@inner
def find_raw(buffer, p, names, expected):
    """The name that a string body at p spells with its own bytes, or -1; `expected` is tried first."""
    k = expected
    for _ in range(names[1]):
        table, at, count, raw = _name(names, k)
        ends_here = p + count < buffer[1] and byte(buffer, p + count) == QUOTE
        if ends_here and raw != 0 and _same(buffer, p, table, at, count):
            return k
        k = next_name(names, k)
    return -1


@inner
def find_escaped(buffer, p, end, names):
    """The name that the string body [p, end) spells, escapes decoded, or -1."""
    for k in range(names[1]):
        table, at, count, _ = _name(names, k)
        if _spells(buffer, p, end, table, at, at + count):
            return k
    return -1
