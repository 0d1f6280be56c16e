"""What the users of a MinHash library must write themselves."""

from __future__ import annotations

import json

from benchmarks.work import SHINGLE, content


def contents(input: str) -> list[str]:
    with open(input) as lines:
        return [content(json.loads(line)) for line in lines]


def shingles(text: str) -> set[str]:
    """The character n-grams of a text; the text itself if it is shorter."""
    return {text[i : i + SHINGLE] for i in range(max(len(text) - SHINGLE + 1, 1))}


def characters_as_words(text: str) -> str:
    """Each character's code point in hexadecimal digits: words without capitals or punctuation."""
    return " ".join(f"{ord(character):x}" for character in text)
