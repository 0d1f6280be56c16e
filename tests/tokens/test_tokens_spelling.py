"""What ids spell, of all words at once, against a word at a time; and the code points of words."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import InputError
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.differing import word_points
from forge_gpu.tokens.spelling import MOST_IDS, letters_of_bytes, spelled

WORDS = st.lists(
    st.text(st.sampled_from("aĠĊé▁<0xAZ>€😀"), max_size=7) | st.sampled_from(["<0x0A>", "<0xff>", "", "▁▁"]),
    unique=True,
    max_size=12,
)


def one(word: str, is_bytes: bool, falls_back: bool) -> bytes:
    if is_bytes:
        byte_of = {letter: byte for byte, letter in letters_of_bytes().items()}
        return bytes(byte_of[each] for each in word) if all(each in byte_of for each in word) else b""
    if falls_back and re.fullmatch("<0x[0-9A-Fa-f]{2}>", word):
        return bytes([int(word[3:5], 16)])
    return word.replace("▁", " ").encode()


@settings(max_examples=60)
@given(WORDS, st.booleans(), st.booleans(), st.permutations(range(14)))
def test_words_are_spelled_as_one_at_a_time(
    words: list[str], is_bytes: bool, falls_back: bool, numbers: list[int]
) -> None:
    words = [word for word in words if not re.fullmatch("<0x.*[^0-9A-Fa-f].*>", word)]
    vocabulary = dict(zip(words, numbers, strict=False))
    added = {numbers[-1]: "<|é|>", **({numbers[0]: "<s>"} if words else {})}
    right = {number: one(word, is_bytes, falls_back) for word, number in vocabulary.items()}
    right |= {number: content.encode() for number, content in added.items()}
    data, offsets = spelled(vocabulary, added, is_bytes, falls_back)
    made = [data[begin:end].tobytes() for begin, end in pairwise(offsets)]
    assert made == [right.get(number, b"") for number in range(max(right) + 1)]
    in_order = [[word, 0.0] for word in words]
    assert spelled(in_order, {}, is_bytes, falls_back)[0].tobytes() == b"".join(
        one(word, is_bytes, falls_back) for word in words
    )


@pytest.mark.parametrize(
    "model",
    [
        {"vocab": 7},
        {"vocab": {"a": "b"}},
        {"vocab": {"a": -1}},
        {"vocab": {"a": MOST_IDS}},
        {"vocab": {"a": 2**63}},
        {"vocab": {"<0xGG>": 0}, "byte_fallback": True},
        {"vocab": [[]]},
        {"vocab": {"a": None}},
    ],
)
def test_a_vocabulary_that_is_none_is_named(model: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the vocabulary is not as a"):
        Definition.of(orjson.dumps({"model": model}), Path("tokenizer.json"))


def test_points_of_words_are_those_of_the_library() -> None:
    bits = np.unpackbits(word_points(), bitorder="little")
    for character in "aZ9_éЖ中\u0301\u200d\u2160Ⓐ🄰":
        assert bits[ord(character)], character
    for character in " -.\n€\u00a0😀\U000f0000":
        assert not bits[ord(character)], character
