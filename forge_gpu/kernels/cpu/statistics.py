"""What the quality checks want to know of each text (see reference/statistics.py), in one pass over it.

A block of ASCII without control characters costs one look. Any other block is counted by masks; what a
pattern of several bytes began in one block is carried into the next. Only where a lead of mojibake is
followed by a byte that can begin an image, which healthy text hardly has, are characters decoded.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.masks import ascii_masks, count_ones, text_masks
from forge_gpu.kernels.cpu.memory import BLOCK, byte, item64, trailing_zeros, whole, word
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference.statistics import (
    HARMLESS,
    IMAGES,
    LEAST_SLOT_BITS,
    MAX_WINDOWS,
    SLOTS_A_WINDOW,
    WINDOW,
    WINDOW_FACTOR,
    Statistics,
)
from forge_gpu.kernels.scratch import Scratch

FACTOR = np.uint64(WINDOW_FACTOR)
SEEN_WORDS = SLOTS_A_WINDOW * MAX_WINDOWS // 64

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
        continuation, below_a0, is_c2, is_c3, is_lead, is_ef, is_bf, is_bd, begins_image = text_masks(data, i)
        continuations += count_ones(continuation & inside)
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
def _repetition(data, start, end, seen):
    """(windows like an earlier one, windows) of a row. seen: uint64[SEEN_WORDS], a bit a slot."""
    count = end - start - WINDOW + 1
    if count <= 0:
        return 0, 0
    step = (count + MAX_WINDOWS - 1) // MAX_WINDOWS
    windows = (count + step - 1) // step
    bits = LEAST_SLOT_BITS
    while 1 << bits < SLOTS_A_WINDOW * windows:
        bits += 1
    words = (1 << bits) // 64
    for k in range(words):
        seen[k] = 0
    shift = np.uint64(64 - bits)
    for i in range(start, start + count, step):
        slot = word(data, i) * FACTOR >> shift
        seen[slot >> np.uint64(6)] |= np.uint64(1) << (slot & np.uint64(63))
    different = 0
    for k in range(words):
        different += count_ones(np.int64(seen[k]))
    return windows - different, windows


@kernel
def _statistics(data, offsets, counts, blank, seen, repetition):
    """counts: int64[6, n]. Returns the first row outside the data, or -1."""
    for r in range(len(blank)):
        start, end = item64(offsets, r), item64(offsets, r + 1)
        if start < 0 or end < start or end > data[1]:
            return r
        counts[0, r], counts[1, r], counts[2, r], counts[3, r] = _count(data, start, end)
        blank[r] = _blank(data, start, end)
        counts[4, r] = counts[5, r] = 0
        if repetition:
            counts[4, r], counts[5, r] = _repetition(data, start, end, seen)
    return -1


def text_statistics(text: Text, scratch: Scratch, repetition: bool = True) -> Statistics:
    """The statistics of each row, valid until the next call with the same scratch.

    `repetition`: whether to look for repeated windows too, which takes longer than all else together.
    Raises ValueError where a row lies outside the data. Bytes moved: the rows once, and 57 a row;
    with repetition, eight times as many loads, and up to 8 KiB of slots that stay in the cache.
    """
    n = len(text)
    data, offsets = np.ascontiguousarray(text.data, np.uint8), np.ascontiguousarray(text.offsets, np.int64)
    counts = scratch.array("statistics.counts", 6 * n, np.int64).reshape(6, n)
    blank = scratch.array("statistics.blank", n, np.uint8)
    seen = scratch.array("statistics.seen", SEEN_WORDS, np.uint64)
    bad = _statistics(whole(data), whole(offsets), counts, blank, seen, bool(repetition))
    if bad >= 0:
        raise ValueError(f"row {bad} of a text lies outside its data")
    characters, replacements, controls, mojibake, repeated, windows = counts
    return Statistics(characters, replacements, controls, mojibake, blank, repeated, windows)
