"""What of a text repeats: lines, paragraphs and runs of words, as Gopher's filter counts them.

Source: Rae et al., "Scaling Language Models: Methods, Analysis & Insights from Training Gopher" (2021), table
A1. Bytes are counted for characters, as the shares hardly differ. Words are what stands between white space;
of a text the first MOST_WORDS are looked at, and as many lines and paragraphs. Lines stand between line
feeds, paragraphs between empty lines; both without the white space around them, and none where nothing else
is left."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from forge_gpu.kernels.layout import I64, Text

TOP = (2, 3, 4)
"""Words of the runs of which the most frequent one counts."""
REPEATED = (5, 6, 7, 8, 9, 10)
"""Words of the runs of which all that were seen before count."""
MOST_WORDS = 2**16
SPACE = b" \t\n\v\f\r"
_WORD = re.compile(rb"[^ \t\n\v\f\r]+")
_EMPTY_LINES = re.compile(rb"\n\n+")


class Repeats(NamedTuple):
    """int64[n] each, of a text a row; top: int64[3, n] bytes of the most frequent run, the first of those
    alike, times how often it stands there, 0 where that is once; repeated: int64[6, n] bytes of runs that
    stood there before, counted from the left, none twice."""

    size: I64
    lines: I64
    repeated_lines: I64
    line_bytes: I64
    paragraphs: I64
    repeated_paragraphs: I64
    paragraph_bytes: I64
    top: I64
    repeated: I64


def repeats_of(text: Text) -> Repeats:
    """What repeats in every row."""
    rows = [text.row(i) for i in range(len(text))]
    lines = np.array([_pieces(row.split(b"\n")) for row in rows], np.int64).reshape(-1, 3).T
    paragraphs = np.array([_pieces(_EMPTY_LINES.split(row)) for row in rows], np.int64).reshape(-1, 3).T
    words = [_WORD.findall(row)[:MOST_WORDS] for row in rows]
    top = np.array([[_top(each, n) for each in words] for n in TOP], np.int64).reshape(len(TOP), -1)
    again = [[_again(each, n) for each in words] for n in REPEATED]
    return Repeats(
        np.array([len(row) for row in rows], np.int64),
        lines[0],
        lines[1],
        lines[2],
        paragraphs[0],
        paragraphs[1],
        paragraphs[2],
        top,
        np.array(again, np.int64).reshape(len(REPEATED), -1),
    )


def _pieces(pieces: list[bytes]) -> tuple[int, int, int]:
    """(how many, how many like an earlier one, the bytes of those)."""
    full = [piece.strip(SPACE) for piece in pieces if piece.strip(SPACE)][:MOST_WORDS]
    first = dict(zip(reversed(full), reversed(range(len(full))), strict=True))
    again = [piece for i, piece in enumerate(full) if first[piece] < i]
    return len(full), len(again), sum(map(len, again))


def _runs(words: list[bytes], n: int) -> list[tuple[bytes, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _top(words: list[bytes], n: int) -> int:
    ranked = Counter(_runs(words, n)).most_common(1)
    if not ranked or ranked[0][1] == 1:
        return 0
    return sum(map(len, ranked[0][0])) * ranked[0][1]


def _again(words: list[bytes], n: int) -> int:
    seen: set[tuple[bytes, ...]] = set()
    at = again = 0
    runs = _runs(words, n)
    while at < len(runs):
        if runs[at] in seen:
            again += sum(map(len, runs[at]))
            at += n
        else:
            seen.add(runs[at])
            at += 1
    return again
