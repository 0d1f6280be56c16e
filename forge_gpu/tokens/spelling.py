"""What each id of a vocabulary spells, in bytes: of all words at once, for there are a hundred thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from forge_gpu.kernels.layout import I64, U8

REPLACEMENT = "▁"
"""What stands for a blank in the vocabularies of SentencePiece."""
MOST_IDS = 2**24
_FALLBACK = len("<0x00>")

Words = tuple[U8, I64]
"""The bytes of words, one behind the other, and how many each has: int64[n]."""


def spelled(
    vocabulary: Mapping[str, int] | Sequence[Sequence[object]],
    added: Mapping[int, str],
    is_bytes: bool,
    falls_back: bool,
) -> tuple[U8, I64]:
    """(the bytes of all ids, int64[ids + 1] where each begins). An id without bytes that are known has none:
    what is made of it has the wrong size.

    vocabulary: words with their ids, or (word, ...) in their order. added: tokens by their ids, which count
    before a word. is_bytes: words are spelled by GPT-2's letters. falls_back: `<0x0A>` is a byte. Raises
    TypeError, ValueError, AttributeError for what is no vocabulary.
    """
    if isinstance(vocabulary, Mapping):
        words, numbers = [*vocabulary.keys()], [*vocabulary.values()]
    else:
        words, numbers = [str(entry[0]) for entry in vocabulary], [*range(len(vocabulary))]
    data, sizes = byte_level(words) if is_bytes else sentence_piece(words, falls_back)
    others = [content.encode() for content in added.values()]
    data = np.concatenate((data, np.frombuffer(b"".join(others), np.uint8)))
    sizes = np.concatenate((sizes, np.fromiter(map(len, others), np.int64, len(others))))
    ids = np.array([*numbers, *added], np.int64)
    count = int(ids.max(initial=-1)) + 1
    if ids.min(initial=0) < 0 or count > MOST_IDS:
        raise ValueError("an id that no vocabulary has")
    begin, length = np.zeros((2, count), np.int64)
    begin[ids], length[ids] = np.cumsum(sizes) - sizes, sizes  # of an id that is there twice, the last
    offsets = np.concatenate(([0], np.cumsum(length)))
    return data[np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], length)], offsets


def byte_level(words: Sequence[str]) -> Words:
    """Words whose letters are bytes; one with another letter has no bytes."""
    letters = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    sizes = np.fromiter(map(len, words), np.int64, len(words))
    table = _bytes_of_letters()
    made = table[np.minimum(letters, len(table) - 1)]
    strange = np.concatenate(([0], np.cumsum(made < 0)))
    ends = np.cumsum(sizes)
    known = strange[ends] == strange[ends - sizes]
    return made[np.repeat(known, sizes)].astype(np.uint8), sizes * known


def sentence_piece(words: Sequence[str], falls_back: bool) -> Words:
    """Words that are texts, with another letter for a blank."""
    sizes = np.fromiter(map(len, words), np.int64, len(words))
    values: dict[int, int] = {}
    if falls_back:
        for number in np.flatnonzero(sizes == _FALLBACK).tolist():
            word = words[number]
            if word.startswith("<0x") and word.endswith(">"):
                values[number] = int(word[3:5], 16)
        words = [*words]
        for number in values:
            words[number] = "?"  # in its place, for its one byte
            sizes[number] = 1
    text = "".join(words).replace(REPLACEMENT, " ")
    letters = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    width = 1 + (letters >= 0x80).astype(np.int64) + (letters >= 0x800) + (letters >= 0x10000)
    before = np.concatenate(([0], np.cumsum(width)))
    ends = np.cumsum(sizes)
    data = np.frombuffer(text.encode(), np.uint8).copy()
    for number, value in values.items():
        data[before[ends[number] - 1]] = value
    return data, before[ends] - before[ends - sizes]


@cache
def letters_of_bytes() -> dict[int, str]:
    """GPT-2's letter for each byte."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


@cache
def _bytes_of_letters() -> np.ndarray:
    """The byte of each letter, −1 of others; the last stands for all that come behind."""
    letters = {ord(letter): byte for byte, letter in letters_of_bytes().items()}
    table = np.full(max(letters) + 2, -1, np.int16)
    table[[*letters]] = [*letters.values()]
    return table
