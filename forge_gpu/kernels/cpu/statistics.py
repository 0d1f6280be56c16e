"""What the quality checks find in each value of a column (see reference/statistics.py), read where it lies.

A block of ASCII without control characters costs one look. Any other block is counted by masks; what a
pattern of several bytes began in one block is carried into the next. Only where a lead of mojibake is
followed by a byte that can begin an image, which healthy text hardly has, are characters decoded. Windows
are looked at until so many were unlike all before that no more than the limit can repeat: in healthy text
that is the share that may not.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.jsontext import contiguous, unescape
from forge_gpu.kernels.cpu.masks import ascii_masks, count_ones, telling_masks, text_masks
from forge_gpu.kernels.cpu.memory import BLOCK, byte, item64, put_byte, put_word, trailing_zeros, whole, word
from forge_gpu.kernels.layout import CANONICAL, ESCAPED, JSON, NULL, PADDING, Spans
from forge_gpu.kernels.reference.statistics import (
    BLANK,
    CONTROL,
    HARMLESS,
    IMAGES,
    LEAST_SLOT_BITS,
    MAX_WINDOWS,
    MOJIBAKE,
    REPEATS,
    REPLACED,
    SLOTS_A_WINDOW,
    WINDOW,
    WINDOW_FACTOR,
    Judged,
)
from forge_gpu.kernels.scratch import Scratch

FACTOR = np.uint64(WINDOW_FACTOR)
SLOTS = SLOTS_A_WINDOW * MAX_WINDOWS
MARKS = 255
LOOKED = 32
"""Windows between two looks at whether enough are different."""

NO_IMAGE, HARMLESS_IMAGE, TELLING_IMAGE = range(3)
_IMAGE = np.zeros(max(map(ord, IMAGES)) + 1, np.uint8)  # by code point
for _image in IMAGES:
    _IMAGE[ord(_image)] = HARMLESS_IMAGE if _image in HARMLESS else TELLING_IMAGE


@inner
def _white_space(data, i, end):
    """Length in bytes of the white space character at i; 0 where it is none."""
    first = byte(data, i)
    if first == 0x20 or (first >= 0x09 and first <= 0x0D) or (first >= 0x1C and first <= 0x1F):
        return 1
    if first == 0xC2 and i + 2 <= end:
        second = byte(data, i + 1)
        return 2 if second == 0x85 or second == 0xA0 else 0
    if (first == 0xE1 or first == 0xE2 or first == 0xE3) and i + 3 <= end:
        value = first << 16 | byte(data, i + 1) << 8 | byte(data, i + 2)
        if value >= 0xE28080 and value <= 0xE2808A:  # U+2000-U+200A
            return 3
        if value == 0xE280A8 or value == 0xE280A9 or value == 0xE280AF:  # U+2028, U+2029, U+202F
            return 3
        if value == 0xE19A80 or value == 0xE2819F or value == 0xE38080:  # U+1680, U+205F, U+3000
            return 3
    return 0


@inner
def _blank(data, i, end):
    while i < end:
        size = _white_space(data, i, end)
        if size == 0:
            return False
        i += size
    return True


@inner
def _character(data, i, end):
    """(code point, length) of the character at i if it is below U+0800 or in U+2000-U+2FFF, else (-1, 0)."""
    if i + 2 > end:
        return np.int64(-1), np.int64(0)
    first, second = byte(data, i), byte(data, i + 1)
    if second & 0xC0 != 0x80:
        return np.int64(-1), np.int64(0)
    if first >= 0xC2 and first <= 0xDF:
        return (first & 0x1F) << 6 | second & 0x3F, np.int64(2)
    if first == 0xE2 and i + 3 <= end and byte(data, i + 2) & 0xC0 == 0x80:
        return 0x2000 | (second & 0x3F) << 6 | byte(data, i + 2) & 0x3F, np.int64(3)
    return np.int64(-1), np.int64(0)


@inner
def _is_mojibake(data, i, end):
    """Whether the lead U+00C2-U+00F4 at i is followed by its images, not all of them harmless."""
    lead = byte(data, i + 1)
    required = 1 if lead <= 0x9F else 2 if lead <= 0xAF else 3
    sure = lead <= 0x83
    i += 2
    for _ in range(required):
        value, size = _character(data, i, end)
        if value < 0 or value >= len(_IMAGE) or _IMAGE[value] == NO_IMAGE:
            return False
        sure |= _IMAGE[value] == TELLING_IMAGE
        i += size
    return sure


@inner
def _count(data, start, end):
    """(characters, replacements, controls, mojibake) of a row."""
    continuations = replacements = controls = mojibake = 0
    c2 = c3 = c3_lead = ef = ef_bf = np.int64(0)  # in bit 0: what the last byte of the block before ended
    i = start
    while i < end:
        not_ascii, control = ascii_masks(data, i)
        left = end - i
        inside = np.int64(-1) if left >= BLOCK else (np.int64(1) << left) - 1
        control &= inside
        not_ascii &= inside
        if control != 0:
            controls += count_ones(control)
        if not_ascii == 0:
            c2 = c3 = c3_lead = ef = ef_bf = np.int64(0)
            i += BLOCK
            continue
        continuation, telling = telling_masks(data, i)
        continuations += count_ones(continuation & inside)
        if telling | c2 | c3 | c3_lead | ef | ef_bf == 0:
            i += BLOCK
            continue
        below_a0, is_c2, is_c3, is_lead, is_ef, is_bf, is_bd, begins_image = text_masks(data, i)
        controls += count_ones((is_c2 << 1 | c2) & below_a0 & inside)
        after_ef_bf = (is_ef << 1 | ef) & is_bf
        replacements += count_ones((after_ef_bf << 1 | ef_bf) & is_bd & inside)
        after_lead = (is_c3 << 1 | c3) & is_lead
        candidates = (after_lead << 1 | c3_lead) & begins_image & inside
        while candidates != 0:
            mojibake += _is_mojibake(data, i + trailing_zeros(candidates) - 2, end)
            candidates &= candidates - 1
        c2, c3, c3_lead = is_c2 >> 63 & 1, is_c3 >> 63 & 1, after_lead >> 63 & 1
        ef, ef_bf = is_ef >> 63 & 1, after_ef_bf >> 63 & 1
        i += BLOCK
    return end - start - continuations, replacements, controls, mojibake


@inner
def _repeats(data, start, end, seen, mark, limit):
    """Whether more than `limit` of a row's windows are like an earlier one. seen: a byte a slot, `mark` where
    a window of this row has it."""
    count = end - start - WINDOW + 1
    if count <= 0:
        return False
    step = (count + MAX_WINDOWS - 1) // MAX_WINDOWS
    windows = (count + step - 1) // step
    bits = LEAST_SLOT_BITS
    while 1 << bits < SLOTS_A_WINDOW * windows:
        bits += 1
    shift = np.uint64(64 - bits)
    enough = windows - np.int64(limit * windows)  # so many different ones: no more than the limit is left
    different = 0
    i, last = start, start + count
    while i < last:
        stop = min(i + LOOKED * step, last)
        while i < stop:
            slot = np.int64(word(data, i) * FACTOR >> shift)
            different += byte(seen, slot) != mark
            put_byte(seen, slot, mark)
            i += step
        if different >= enough:
            return False
    return True


@inner
def _forget(seen):
    for k in range(SLOTS // 8):
        put_word(seen, 8 * k, np.uint64(0))


@kernel
def _judge(source, start, length, kind, target, seen, limit, characters, found):
    """target: room for an unescaped value. limit: below 0, repetition is not looked for. Returns the first
    value that cannot be read, or -1."""
    mark = np.int64(MARKS)
    for r in range(len(found)):
        i, size, what = item64(start, r), item64(length, r), byte(kind, r)
        if i < 0 or size < 0 or size > source[1] or i > source[1] - size or what > JSON:
            return r
        data, end = source, i + size
        if what == CANONICAL or what == ESCAPED:
            end = unescape(target, np.int64(0), source, i, size)
            data, i = target, np.int64(0)
        elif what <= NULL:
            end = i
        characters[r], replacements, controls, mojibake = _count(data, i, end)
        bits = BLANK * _blank(data, i, end) | REPLACED * (replacements > 0)
        bits |= CONTROL * (controls > 0) | MOJIBAKE * (mojibake > 0)
        if limit >= 0.0:
            if mark == MARKS:
                _forget(seen)
                mark = np.int64(0)
            mark += 1
            bits |= REPEATS * _repeats(data, i, end, seen, mark, limit)
        found[r] = bits
    return -1


def judge(column: Spans, limit: float | None, scratch: Scratch) -> Judged:
    """See reference/statistics.py; valid until the next call with the same scratch.

    Raises ValueError where a value lies outside its buffer or has no known kind. Bytes moved: the values
    once, escaped ones twice more, and 26 a value; for repetition, eight times as many loads as windows are
    looked at, and up to 64 KiB of slots that stay in the cache.
    """
    n = len(column)
    data, start, length, kind = contiguous(column)
    characters = scratch.array("judge.characters", n, np.int64)
    found = scratch.array("judge.found", n, np.uint8)
    longest = min(int(length.max(initial=0)), len(data))
    target = scratch.array("judge.target", longest + PADDING, np.uint8)
    seen = scratch.array("judge.seen", SLOTS, np.uint8)
    spans = whole(data), whole(start), whole(length), whole(kind)
    bad = _judge(*spans, whole(target), whole(seen), -1.0 if limit is None else limit, characters, found)
    if bad >= 0:
        raise ValueError(f"value {bad} of a column lies outside its buffer or has an unknown kind")
    return Judged(characters, found)
