"""How a text is written: its words and lines, as the filters of web pages count them.

A word is what stands between white space (U+0009-U+000D and blanks), a line between line feeds; a line of
white space alone does not count. Letters of a word in bytes that are no continuation bytes. A word has a
letter where it has one of ASCII, or a character from U+00C0 on that is not in U+2000-U+2FFF. Of a stop word,
ASCII signs before and after it and case mean nothing. A sentence ends with . ! or ? before white space or the
line's end; those of a line count where it has `C4_WORDS` words, ends with one of TERMINAL and not with three
points, and has none of PHRASES."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from forge_gpu.kernels.layout import I64, Text

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("-", "*", "•", "‣", "◦", "●")
TERMINAL = (".", "!", "?", '"', "”")
PHRASES = (
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
LOREM = "lorem ipsum"
C4_WORDS = 5
SPACE = " \t\n\v\f\r"
_WORD = re.compile(rf"[^{re.escape(SPACE)}]+")
_LETTER = re.compile("[A-Za-z]|[^\u0000-\u00bf\u2000-\u2fff]")
_SIGNS = "".join(chr(code) for code in range(0x80) if not chr(code).isalnum())
_SENTENCE = re.compile(rf"[.!?](?=[{re.escape(SPACE)}]|$)")
_PHRASE = re.compile("|".join(PHRASES), re.ASCII | re.IGNORECASE)


class Prose(NamedTuple):
    """int64[n] each, of a text a row. letters: characters of its words. with_letter: words that have one.
    stops: different stop words. points: "..." and "…". bulleted, trailing: lines that begin with a bullet,
    that end with points. lorem: times it says lorem ipsum."""

    words: I64
    letters: I64
    with_letter: I64
    stops: I64
    hashes: I64
    points: I64
    lines: I64
    bulleted: I64
    trailing: I64
    sentences: I64
    braces: I64
    lorem: I64


def prose_of(text: Text) -> Prose:
    """Count in every row. Bytes that are no UTF-8 are not looked into."""
    rows = [_counts(text.row(i).decode("utf-8", "replace")) for i in range(len(text))]
    return Prose(*np.array(rows, np.int64).reshape(-1, len(Prose._fields)).T)


def _counts(text: str) -> list[int]:
    words = _WORD.findall(text)
    lines = [line.strip(SPACE) for line in text.split("\n") if line.strip(SPACE)]
    return [
        len(words),
        sum(map(len, words)),
        sum(_LETTER.search(word) is not None for word in words),
        len({word.strip(_SIGNS).lower() for word in words} & set(STOP_WORDS)),
        text.count("#"),
        text.count("...") + text.count("…"),
        len(lines),
        sum(line.startswith(BULLETS) for line in lines),
        sum(line.endswith(("...", "…")) for line in lines),
        sum(len(_SENTENCE.findall(line)) for line in lines if _counts_for_c4(line)),
        text.count("{"),
        len(re.findall(LOREM, text, re.ASCII | re.IGNORECASE)),
    ]


def _counts_for_c4(line: str) -> bool:
    enough = len(_WORD.findall(line)) >= C4_WORDS
    return enough and line.endswith(TERMINAL) and not line.endswith("...") and not _PHRASE.search(line)
