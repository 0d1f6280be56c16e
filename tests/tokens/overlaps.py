"""What Hugging Face's places of tokens say is trained: each token that overlaps a span of the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.cpu.token_rows import bytes_of_characters
from forge_gpu.kernels.layout import PADDING, Text
from forge_gpu.kernels.token_layout import Runs
from forge_gpu.tokens.tokenizer import Tokenizer

Row = tuple[str, list[tuple[int, int]]]
"""A text, and what is trained of it, in characters."""


def laid_out(rows: Sequence[Row]) -> tuple[Text, Runs, Runs]:
    """(the texts, all of them literals; what is trained)"""
    data = [text.encode() for text, _ in rows]
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in data])))
    texts = Text(np.frombuffer(b"".join(data) + bytes(PADDING), np.uint8), offsets)
    pairs = np.array([pair for _, spans in rows for pair in spans], np.int64).reshape(-1, 2)
    counts = np.concatenate(([0], np.cumsum([len(spans) for _, spans in rows])))
    trained = bytes_of_characters(texts, Runs(counts, pairs[:, 0].copy(), pairs[:, 1].copy()))
    literals = Runs(np.arange(len(rows) + 1), offsets[:-1].copy(), offsets[1:].copy())
    return texts, literals, trained


def overlapping(
    tokenizer: Tokenizer, text: str, spans: Sequence[tuple[int, int]]
) -> tuple[list[int], list[bool]]:
    """(the library's ids of a text; whether each overlaps a span)"""
    ids, places = tokenizer.plan.loaded.whole().with_offsets(text)
    return ids, [any(begin < stop and end > start for start, stop in spans) for begin, end in places]
