"""What the quality checks want to know of each text. Bytes that are no UTF-8 are counted by the same rules.

characters: bytes that are no continuation bytes (0x80-0xBF): the code points of valid UTF-8.
replacements: U+FFFD.
controls: U+0000-U+001F but tab, line feed and carriage return; U+007F; U+0080-U+009F.
mojibake: UTF-8 that was read as Windows-1252 or Latin-1 and written as UTF-8 again ("Ã©", "â€™", "Â "):
    a lead U+00C2-U+00DF, U+00E0-U+00EF or U+00F0-U+00F4 followed by one, two or three images. An image is
    what a byte 0x80-0xBF reads as in Windows-1252 or in Latin-1. Behind another lead than U+00C2 and U+00C3
    at least one image must be none of HARMLESS, which follow real accented letters: "Gruß…", "voilà »".
blank: no character, or only white space: the 29 code points that str.isspace knows.
repeated, windows: of the windows of WINDOW bytes, taken at every byte, or evenly spread where there are
    more than MAX_WINDOWS, how many are like an earlier one: have the same slot. Slots are at least
    SLOTS_A_WINDOW times the windows, so chance makes about 3% of them alike at most. The count is the
    windows less the different slots: it does not depend on their order.

`judge` says of each value of a column what the checks do with these.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from forge_gpu.kernels.layout import I64, U8, Spans, Text
from forge_gpu.kernels.reference.jsontext import decode
from forge_gpu.kernels.scratch import Scratch

WINDOW = 8
MAX_WINDOWS = 4096
SLOTS_A_WINDOW = 16
LEAST_SLOT_BITS = 9
WINDOW_FACTOR = 0x9E3779B97F4A7C15
"""A window's slot: the upper bits of (its bytes as a little-endian word x this, modulo 2^64)."""

BLANK, REPLACED, CONTROL, MOJIBAKE, REPEATS = 1, 2, 4, 8, 16
"""Bits of what is found in a value."""

SURE_LEADS = "ÂÃ"
HARMLESS = "\u00a0«»®°²³¹·–—‘’‚“”„…‹›™•ŠšŽž"


def _image(byte: int) -> str:
    """What a byte reads as, in Windows-1252 where that has it, in Latin-1 always."""
    latin = chr(byte)
    try:
        return latin + bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return latin


IMAGES = frozenset("".join(map(_image, range(0x80, 0xC0))))
_ANY = "[" + "".join(sorted(IMAGES)) + "]"
_MOJIBAKE = f"[\u00c2-\u00df]{_ANY}|[\u00e0-\u00ef]{_ANY}{{2}}|[\u00f0-\u00f4]{_ANY}{{3}}"
_CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]"
"""Not compiled here: every start imports this, and few call it. `re` keeps what it compiled."""


class Statistics(NamedTuple):
    """One item a row. blank: uint8, 0 or 1; all others int64. Without repetition its two are zeros."""

    characters: I64
    replacements: I64
    controls: I64
    mojibake: I64
    blank: U8
    repeated: I64
    windows: I64


class Judged(NamedTuple):
    """Of n values. characters: int64[n]. found: uint8[n], the bits above that hold."""

    characters: I64
    found: U8


def judge(column: Spans, limit: float | None, scratch: Scratch) -> Judged:
    """What is found in each value, as its text. limit: REPEATS where more than this share of the windows is
    like an earlier one; None: not looked for. Raises ValueError for a value that cannot be read."""
    return judged(text_statistics(decode(column, scratch), scratch, limit is not None), limit)


def judged(statistics: Statistics, limit: float | None) -> Judged:
    """The statistics as the checks take them."""
    found = statistics.blank * np.uint8(BLANK)
    for bit, count in (
        (REPLACED, statistics.replacements),
        (CONTROL, statistics.controls),
        (MOJIBAKE, statistics.mojibake),
    ):
        found |= (count > 0) * np.uint8(bit)
    if limit is not None:
        found |= (statistics.repeated > limit * statistics.windows) * np.uint8(REPEATS)
    return Judged(statistics.characters, found)


def text_statistics(text: Text, scratch: Scratch, repetition: bool = True) -> Statistics:
    """The statistics of each row, valid until the next call with the same scratch."""
    rows = [text.row(i) for i in range(len(text))]
    spread = [windows_of(row) if repetition else [] for row in rows]
    return Statistics(
        characters=np.array([sum(byte & 0xC0 != 0x80 for byte in row) for row in rows], np.int64),
        replacements=np.array([row.count(b"\xef\xbf\xbd") for row in rows], np.int64),
        controls=np.array([len(re.findall(_CONTROL, row)) for row in rows], np.int64),
        mojibake=np.array([_mojibake(row) for row in rows], np.int64),
        blank=np.array([not row.decode("utf-8", "replace").strip() for row in rows], np.uint8),
        repeated=np.array([len(result) - len(set(result)) for result in spread], np.int64),
        windows=np.array([len(result) for result in spread], np.int64),
    )


def _mojibake(row: bytes) -> int:
    result = re.findall(_MOJIBAKE, row.decode("utf-8", "replace"))
    return sum(match[0] in SURE_LEADS or not set(match[1:]) <= set(HARMLESS) for match in result)


def windows_of(row: bytes) -> list[int]:
    """The slots of the windows of a row."""
    count = max(len(row) - WINDOW + 1, 0)
    step = -(-count // MAX_WINDOWS) or 1
    starts = range(0, count, step)
    bits = max(LEAST_SLOT_BITS, (SLOTS_A_WINDOW * len(starts) - 1).bit_length())
    words = (int.from_bytes(row[i : i + WINDOW], "little") for i in starts)
    return [(word * WINDOW_FACTOR & 2**64 - 1) >> 64 - bits for word in words]
