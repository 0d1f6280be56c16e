"""Shingles of a text and their hashes: what near-duplicates are compared by.

A row's text is taken as Unicode code points, normalised (see `fold_table`), and cut into *units*: its code
points (kind CHARACTERS), or its words, the longest runs without white space (kind WORDS). A shingle is n
consecutive units; a text of fewer units, but at least one, is one shingle of them all, and a text of none
has no shingle. The set of a row is the set of its shingles' 64-bit hashes, so that equal means equal but
for one pair in 2**64. All arithmetic is modulo 2**32 or 2**64 as said, so any engine can repeat it exactly.

Multilinear hashing after Lemire and Kaser, "Strongly universal string hashing is fast" (2014); finalisers
of MurmurHash3 (Appleby 2011).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I64, U8, U64

U32 = npt.NDArray[np.uint32]

CHARACTERS, WORDS = 0, 1
MAX_UNITS = 32
"""The longest shingle, in units."""

SPACE = 0xFFFFFFFF
"""In a fold table: white space. A run of it becomes one U+0020, and none at either end of the text."""

FOLDED = 0x20000
"""The size of a fold table."""

_M32, _M64 = 2**32 - 1, 2**64 - 1


def splitmix64(seed: int, count: int) -> list[int]:
    """The first `count` outputs of SplitMix64 (Steele, Lea, Flood 2014) from `seed`."""
    drawn = []
    for step in range(1, count + 1):
        z = (seed + step * 0x9E3779B97F4A7C15) & _M64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _M64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _M64
        drawn.append(z ^ (z >> 31))
    return drawn


_DRAWN = splitmix64(0, 2 * MAX_UNITS + 2)
# Odd, so that a change of one unit always changes the sum.
CHARACTER_WEIGHTS = np.array([[z & _M32 | 1, z >> 32 | 1] for z in _DRAWN[:MAX_UNITS]], np.uint32).T.copy()
WORD_WEIGHTS = np.array([z | 1 for z in _DRAWN[MAX_UNITS : 2 * MAX_UNITS]], np.uint64)
LENGTH_WEIGHT, WORD_BASE = (z | 1 for z in _DRAWN[2 * MAX_UNITS :])


def fold_table(case: bool, white_space: bool, punctuation: bool) -> U32:
    """What normalisation makes of each code point: uint32[0x20000]; empty when it changes nothing.

    case: a code point becomes its case folding where that is one code point, else its lower case where
    that is one, else stays. white_space: code points that `str.isspace` knows (29 of them) are SPACE.
    punctuation: code points of the general categories P* and S* are SPACE, or, without `white_space`,
    U+0020 each. Nothing is composed or decomposed. The rules are those of this Python's Unicode database,
    `unicodedata.unidata_version`. The table ends before U+20000: beyond it nothing has any of these.
    """
    if not (case or white_space or punctuation):
        return np.zeros(0, np.uint32)
    table = np.arange(FOLDED, dtype=np.uint32)
    for point in range(FOLDED):
        character = chr(point)
        if white_space and character.isspace():
            table[point] = SPACE
        elif punctuation and unicodedata.category(character)[0] in "PS":
            table[point] = SPACE if white_space else 0x20
        elif case:
            folded = (character.casefold(), character.lower(), character)
            table[point] = ord(next(text for text in folded if len(text) == 1))
    return table


def code_points(text: bytes) -> Iterator[int]:
    """The code points of UTF-8. Of other bytes it makes a defined something: a continuation byte without its
    lead, and a lead without room for its sequence, stand for themselves; no sequence is checked."""
    i = 0
    while i < len(text):
        lead = text[i]
        width = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        if width == 1 or i + width > len(text):
            yield lead
            i += 1
            continue
        point = lead & (0x7F >> width)
        for byte in text[i + 1 : i + width]:
            point = point << 6 | byte & 0x3F
        yield point
        i += width


def normalised(text: bytes, fold: U32) -> list[int]:
    """The code points of a text after normalisation; those beyond the table stay."""
    points: list[int] = []
    waiting = False
    for point in code_points(text):
        point = int(fold[point]) if point < len(fold) else point
        if point == SPACE:
            waiting = bool(points)
            continue
        if waiting:
            points.append(0x20)
            waiting = False
        points.append(point)
    return points


def fmix32(h: int) -> int:
    h = (h ^ (h >> 16)) * 0x85EBCA6B & _M32
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & _M32
    return h ^ (h >> 16)


def fmix64(h: int) -> int:
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD & _M64
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 & _M64
    return h ^ (h >> 33)


def _character_hash(shingle: list[int]) -> int:
    """Two sums modulo 2**32, each finalised: the low half (all that MinHash reads) and the high half."""
    halves = []
    for weights in CHARACTER_WEIGHTS.tolist():
        total = len(shingle) * (LENGTH_WEIGHT & _M32)
        total += sum(point * weight for point, weight in zip(shingle, weights, strict=False))
        halves.append(fmix32(total & _M32))
    return halves[0] | halves[1] << 32


def _word_hash(shingle: list[int]) -> int:
    total = len(shingle) * LENGTH_WEIGHT
    total += sum(word * weight for word, weight in zip(shingle, WORD_WEIGHTS.tolist(), strict=False))
    return fmix64(total & _M64)


def words(points: list[int]) -> list[int]:
    """A 64-bit key of each word, by Horner's rule modulo 2**64; words are parted by U+0020."""
    keys: list[int] = []
    key = 0
    for point in [*points, 0x20]:
        if point != 0x20:
            key = (key + point + 1) * WORD_BASE & _M64
        elif key:
            keys.append(key)
            key = 0
    return keys


def shingles(text: bytes, kind: int, n: int, fold: U32) -> list[int]:
    """The 64-bit hashes of a text's shingles, in order and with repeats.

    kind WORDS wants a fold table made with white_space.
    """
    units = normalised(text, fold)
    if kind == WORDS:
        units = words(units)
    hashed = _word_hash if kind == WORDS else _character_hash
    if 0 < len(units) < n:
        return [hashed(units)]
    return [hashed(units[i : i + n]) for i in range(len(units) - n + 1)]


def distinct(
    data: U8, offsets: I64, kind: int, n: int, fold: U32, rows: I64 | None = None
) -> tuple[U64, I64]:
    """The shingle set of each row of Arrow text, or of those that `rows` names: (uint64[total], int64[m + 1]
    offsets into it), each set in the order in which its shingles first come."""
    bounds = list(pairwise(offsets.tolist()))
    chosen = bounds if rows is None else [bounds[row] for row in rows.tolist()]
    sets = [list(dict.fromkeys(shingles(data[a:b].tobytes(), kind, n, fold))) for a, b in chosen]
    ends = np.cumsum([0] + [len(result) for result in sets])
    return np.array([value for result in sets for value in result], np.uint64), ends.astype(np.int64)


def intersections(values: U64, offsets: I64, other_values: U64, other_offsets: I64, pairs: I64) -> I64:
    """How many shingles two sets share: int64[m] for pairs int64[m, 2] of (set, other set)."""
    sets = [set(values[start:end].tolist()) for start, end in pairwise(offsets.tolist())]
    others = [set(other_values[start:end].tolist()) for start, end in pairwise(other_offsets.tolist())]
    return np.array([len(sets[a] & others[b]) for a, b in pairs.tolist()], np.int64)


class Lookup(NamedTuple):
    """Shingles with an owner each: values uint64[m], ascending and distinct; owners int64[m]; and starts
    int64[2**bits + 1], where values with the upper bits k lie in starts[k] ... starts[k+1]-1."""

    values: U64
    owners: I64
    starts: I64
    bits: int


def lookup(values: U64, owners: I64) -> Lookup:
    """An index of shingles, each owned by the smallest of its `owners`: uint64[m], int64[m]."""
    order = np.lexsort((owners, values))
    values, owners = values[order], owners[order]
    first = np.ones(len(values), np.bool_)
    first[1:] = values[1:] != values[:-1]
    values, owners = values[first], owners[first]
    bits = max(len(values).bit_length(), 1)
    upper = (values >> np.uint64(64 - bits)).astype(np.int64)
    return Lookup(values, owners, np.searchsorted(upper, np.arange(2**bits + 1)).astype(np.int64), bits)


def first_found(data: U8, offsets: I64, kind: int, n: int, fold: U32, index: Lookup) -> I64:
    """The owner of the first shingle of each row that the index has: int64[rows]; -1 where it has none."""
    owners = dict(zip(index.values.tolist(), index.owners.tolist(), strict=True))
    result = []
    for start, end in pairwise(offsets.tolist()):
        hits = (owners.get(value) for value in shingles(data[start:end].tobytes(), kind, n, fold))
        result.append(next((owner for owner in hits if owner is not None), -1))
    return np.array(result, np.int64)
