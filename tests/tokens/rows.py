"""Random rows of templates and contents, with what added tokens make difficult."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.layout import PADDING, Text
from forge_gpu.kernels.token_layout import Runs
from forge_gpu.tokens.definition import Definition
from tests.tokens.made import WORDS

Parts = list[tuple[bool, str]]
SPACES = ["", " ", "  ", "\n", "\n\n", "\n\n\n", "\t", "\u00a0", "\u3000", "\u001c", "\u2028", "\r\n"]
ODD = [
    "A\u030a \u212b", "ﬁ ½", "🙂👩‍👩‍👧", "\U00016ead，可", "TOOLs TOOL éTOOL",
    "▁▁ ▁", "<0x0A>", "TooL", "\ud7ff", "\U0010ffff", "\x00\x7f", "İıſ", "'ſt",
]  # fmt: skip


def row(chance: random.Random, definition: Definition, forged: bool) -> Parts:
    """Literals with added tokens, and contents between them; forged: contents spell tokens, or parts."""
    contents = [token.content for token in definition.added]
    parts: Parts = []
    for _ in range(chance.randint(1, 5)):
        literal = "".join(
            chance.choice([chance.choice(contents), chance.choice(WORDS), chance.choice(SPACES)])
            for _ in range(chance.randint(0, 3))
        )
        parts.append((True, literal))
        parts.append((False, content(chance, contents if forged else [])))
    return parts


def content(chance: random.Random, spelled: Sequence[str]) -> str:
    pieces = []
    for _ in range(chance.randint(0, 8)):
        kind = chance.random()
        if spelled and kind < 0.2:
            token = chance.choice(spelled)
            begin, end = sorted((chance.randint(0, len(token)), chance.randint(0, len(token))))
            pieces.append(token if kind < 0.1 else token[begin:end])
        elif kind < 0.35:
            pieces.append(chance.choice(ODD))
        else:
            pieces.append(chance.choice(WORDS))
        pieces.append(chance.choice(SPACES[:4] if kind < 0.8 else SPACES))
    return "".join(pieces)


def laid_out(rows: Sequence[Parts], trained: bool = False) -> tuple[Text, Runs]:
    """(the texts, the runs of their literals; or, where `trained`, the ranges of their contents)."""
    data, offsets, bounds = bytearray(), [0], [0]
    ranges: list[tuple[int, int]] = []
    for parts in rows:
        for literal, text in parts:
            begin = len(data)
            data += text.encode()
            if literal == trained or not text:
                continue
            if len(ranges) > bounds[-1] and ranges[-1][1] == begin:
                ranges[-1] = (ranges[-1][0], len(data))
            else:
                ranges.append((begin, len(data)))
        offsets.append(len(data))
        bounds.append(len(ranges))
    pairs = np.array(ranges, np.int64).reshape(-1, 2)
    laid = Text(np.frombuffer(bytes(data) + bytes(PADDING), np.uint8), np.array(offsets, np.int64))
    return laid, Runs(np.array(bounds, np.int64), pairs[:, 0].copy(), pairs[:, 1].copy())
