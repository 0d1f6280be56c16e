"""The code points that gigatoken and `tokenizers` take for different things: their Unicode tables differ.

Pieces that hold one are encoded by `tokenizers`. Which they are depends on the versions of both alone: those
of the versions that differing.json names are there; of others they are found once, and noted.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from functools import partial
from importlib.resources import files

import numpy as np

from forge_gpu.kernels.layout import U8
from forge_gpu.kernels.token_layout import WORD_BITS
from forge_gpu.tokens import cache
from forge_gpu.tokens.encoders import Gigatoken, HuggingFace, joined, versions
from forge_gpu.tokens.probes import PATTERNS, probe

AT_ONCE = 1 << 16
SURROUNDING = "{0}，可 a{0}1 A{0}a  {0}\n"
"""A code point of another category is cut otherwise somewhere in this."""
WITHOUT_CHARACTERS = range(0x40000, 0xE0000)
"""Planes of Unicode that have none yet."""


def differing_points() -> U8:
    """A bit for each code point on which the installed versions differ: uint8[WORD_BITS]."""
    installed = versions()
    shipped = json.loads((files("forge_gpu.tokens") / "differing.json").read_text(encoding="utf-8"))
    if shipped["versions"] == installed:
        return as_bits(shipped["ranges"])
    question = ["differing code points", *(f"{name} {version}" for name, version in installed.items())]
    ranges = cache.known(question)
    if not _are_ranges(ranges):
        ranges = ranges_of(sweep())
        cache.note(question, ranges)
    return as_bits(ranges)


def sweep() -> list[int]:
    """All code points on which the two libraries differ, whatever the vocabulary. Takes seconds."""
    differ: set[int] = set()
    points = [
        *range(0xD800),
        *range(0xF900, WITHOUT_CHARACTERS.start),
        *range(WITHOUT_CHARACTERS.stop, 0xE1000),
    ]
    for pattern in PATTERNS:
        document = json.dumps(probe(pattern)).encode()
        try:
            fast, true = Gigatoken(partial(bytes, document)), HuggingFace(document)
        except ValueError:
            continue  # gigatoken does not take this pattern at all
        for begin in range(0, len(points), AT_ONCE):
            differ |= _differing(fast, true, points[begin : begin + AT_ONCE])
    return sorted(differ)


def _differing(fast: Gigatoken, true: HuggingFace, points: Sequence[int]) -> set[int]:
    texts = [SURROUNDING.format(chr(point)) for point in points]
    encoded = [text.encode() for text in texts]
    stops = np.cumsum([len(each) for each in encoded])
    starts = np.concatenate(([0], stops[:-1]))
    ids, offsets = fast.encode(np.frombuffer(b"".join(encoded), np.uint8), starts, stops)
    expected, bounds = joined(true.ids(texts))
    return {
        point
        for k, point in enumerate(points)
        if not np.array_equal(ids[offsets[k] : offsets[k + 1]], expected[bounds[k] : bounds[k + 1]])
    }


def as_bits(ranges: Sequence[Sequence[int]]) -> U8:
    bits = np.zeros(8 * WORD_BITS, np.uint8)
    for first, last in ranges:
        bits[first : last + 1] = 1
    return np.packbits(bits, bitorder="little")


def ranges_of(points: Sequence[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return ranges


def _are_ranges(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list)
        and len(each) == 2
        and all(isinstance(n, int) and 0 <= n < 0x110000 for n in each)
        for each in value
    )


def word_points() -> U8:
    """A bit for each code point that is part of a word, as `\\w` of Rust has it: uint8[WORD_BITS]."""
    bits = np.zeros(8 * WORD_BITS, np.uint8)
    for points in (range(WITHOUT_CHARACTERS.start), range(WITHOUT_CHARACTERS.stop, 0xE1000)):
        categories = map(unicodedata.category, map(chr, points))
        bits[points.start : points.stop] = np.frombuffer(
            bytes(map(_IN_WORDS.__contains__, categories)), np.uint8
        )
    for others in _IN_WORDS_TOO:
        bits[others.start : others.stop] = 1
    return np.packbits(bits, bitorder="little")


_IN_WORDS = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"))
"""Categories of code points."""
_IN_WORDS_TOO = (
    range(0x200C, 0x200E),
    range(0x24B6, 0x24EA),
    range(0x1F130, 0x1F14A),
    range(0x1F150, 0x1F16A),
    range(0x1F170, 0x1F18A),
)
"""What joins, and letters in circles."""
