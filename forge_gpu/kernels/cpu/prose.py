"""Words and lines of texts, in one pass. See reference/prose.py."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import byte, item64, whole
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference.prose import (
    BULLETS,
    C4_WORDS,
    LOREM,
    PHRASES,
    STOP_WORDS,
    TERMINAL,
    Prose,
)

COUNTS = len(Prose._fields)
(
    WORDS,
    LETTERS,
    WITH_LETTER,
    STOPS,
    HASHES,
    POINTS,
    LINES,
    BULLETED,
    TRAILING,
    SENTENCES,
    BRACES,
    LOREMS,
) = range(COUNTS)
LONGEST_STOP = max(map(len, STOP_WORDS))


def _packed(texts):
    """Texts as int64: their bytes, the first one highest, below a bit that says where they begin."""
    return np.array([int.from_bytes(b"\1" + text.encode(), "big") for text in texts], np.int64)


def _table(texts):
    """(bytes, offsets) of texts one after another."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)])
    return np.frombuffer(b"".join(encoded), np.uint8).copy(), offsets.astype(np.int64)


_STOPS, _BULLETS, _TERMINAL = _packed(STOP_WORDS), _packed(BULLETS), _packed(TERMINAL)
_PHRASES, _PHRASE_OFFSETS = _table((*PHRASES, LOREM))


@inner
def _is_space(c):
    return c == 0x20 or (c >= 0x09 and c <= 0x0D)


@inner
def _is_letter_or_digit(c):
    lower = c | 0x20
    return (lower >= 0x61 and lower <= 0x7A) or (c >= 0x30 and c <= 0x39) or c >= 0x80


@inner
def _lower(c):
    return c | 0x20 if c >= 0x41 and c <= 0x5A else c


@inner
def _is_point(data, i, end):
    """Whether U+2026 is at i."""
    return i + 3 <= end and byte(data, i) == 0xE2 and byte(data, i + 1) == 0x80 and byte(data, i + 2) == 0xA6


@inner
def _one_of(data, i, end, packed):
    """Whether one of the packed texts is at i."""
    value = np.int64(1)
    for k in range(3):
        if i + k >= end:
            return False
        value = value << 8 | byte(data, i + k)
        for each in packed:
            if each == value:
                return True
    return False


@inner
def _stop_word(data, start, end):
    """The bit of the stop word that is a word without its signs; 0 where it is none."""
    while start < end and not _is_letter_or_digit(byte(data, start)):
        start += 1
    while start < end and not _is_letter_or_digit(byte(data, end - 1)):
        end -= 1
    if end - start > LONGEST_STOP or start >= end:
        return np.int64(0)
    value = np.int64(1)
    for i in range(start, end):
        value = value << 8 | _lower(byte(data, i))
    for k in range(len(_STOPS)):
        if _STOPS[k] == value:
            return np.int64(1) << k
    return np.int64(0)


@inner
def _phrase(data, i, end):
    """The number of the phrase at i, whatever its case; -1 where there is none."""
    first = _lower(byte(data, i))
    if (
        first != 0x6A
        and first != 0x74
        and first != 0x70
        and first != 0x63
        and first != 0x75
        and first != 0x6C
    ):
        return -1
    for k in range(len(_PHRASE_OFFSETS) - 1):
        begin, size = _PHRASE_OFFSETS[k], _PHRASE_OFFSETS[k + 1] - _PHRASE_OFFSETS[k]
        if i + size > end or _PHRASES[begin] != first:
            continue
        same = True
        for at in range(1, size):
            if _lower(byte(data, i + at)) != _PHRASES[begin + at]:
                same = False
                break
        if same:
            return k
    return -1


@inner
def _word(data, start, end, counts, r):
    """Count a word; the bit of its stop word."""
    letters = with_letter = 0
    for i in range(start, end):
        c = byte(data, i)
        letters += c & 0xC0 != 0x80
        lower = c | 0x20
        with_letter |= (lower >= 0x61 and lower <= 0x7A and c < 0x80) or (c >= 0xC3 and c != 0xE2)
    counts[WORDS, r] += 1
    counts[LETTERS, r] += letters
    counts[WITH_LETTER, r] += with_letter
    return _stop_word(data, start, end)


@inner
def _ends_so(data, first, end):
    """(whether a line ends with points, whether as a sentence does)."""
    dots = end - first >= 3 and byte(data, end - 1) == byte(data, end - 2) == byte(data, end - 3) == 0x2E
    point = end - first >= 3 and _is_point(data, end - 3, end)
    last = end - 1
    while last > first and byte(data, last) & 0xC0 == 0x80:
        last -= 1
    return dots or point, not dots and _one_of(data, last, end, _TERMINAL)


@inner
def _line(data, start, end, counts, r):
    """Count a line and its words; the bits of its stop words."""
    words = stops = sentences = phrases = 0
    first = last = i = start
    while i < end:
        c = byte(data, i)
        if _is_space(c):
            i += 1
            continue
        if words == 0:
            first = i
        begin = i
        while i < end and not _is_space(byte(data, i)):
            c = byte(data, i)
            counts[HASHES, r] += c == 0x23
            counts[BRACES, r] += c == 0x7B
            if c == 0xE2:
                counts[POINTS, r] += _is_point(data, i, end)
            phrase = _phrase(data, i, end)
            if phrase == len(_PHRASE_OFFSETS) - 2:
                counts[LOREMS, r] += 1
            elif phrase >= 0:
                phrases += 1
            i += 1
        counts[POINTS, r] += _three_dots(data, begin, i)
        c = byte(data, i - 1)
        sentences += c == 0x2E or c == 0x21 or c == 0x3F
        stops |= _word(data, begin, i, counts, r)
        words += 1
        last = i
    if words == 0:
        return np.int64(0)
    trailing, terminal = _ends_so(data, first, last)
    counts[LINES, r] += 1
    counts[BULLETED, r] += _one_of(data, first, last, _BULLETS)
    counts[TRAILING, r] += trailing
    if words >= C4_WORDS and terminal and phrases == 0:
        counts[SENTENCES, r] += sentences
    return stops


@inner
def _three_dots(data, start, end):
    found = dots = 0
    for i in range(start, end):
        dots = dots + 1 if byte(data, i) == 0x2E else 0
        if dots == 3:
            found, dots = found + 1, 0
    return found


@kernel
def _prose(data, offsets, counts):
    """counts: int64[COUNTS, n]. Returns the first row outside the data, or -1."""
    for r in range(counts.shape[1]):
        start, end = item64(offsets, r), item64(offsets, r + 1)
        if start < 0 or end < start or end > data[1]:
            return r
        stops = np.int64(0)
        while start <= end:
            stop = start
            while stop < end and byte(data, stop) != 0x0A:
                stop += 1
            stops |= _line(data, start, stop, counts, r)
            start = stop + 1
        while stops != 0:
            counts[STOPS, r] += 1
            stops &= stops - 1
    return -1


def prose_of(text: Text) -> Prose:
    """See reference/prose.py. Bytes moved: the text read three times, from the cache; 96 written a row.

    Raises ValueError where a row lies outside the data.
    """
    data, offsets = np.ascontiguousarray(text.data, np.uint8), np.ascontiguousarray(text.offsets, np.int64)
    counts = np.zeros((COUNTS, len(text)), np.int64)
    bad = _prose(whole(data), whole(offsets), counts)
    if bad >= 0:
        raise ValueError(f"row {bad} of a text lies outside its data")
    return Prose(*counts)
