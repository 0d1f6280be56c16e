"""What the library `tokenizers` decodes of the trained ids of a row, and what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forge_gpu.tokens.tokenizer import Tokenizer, Tokens
from tests.tokens.overlaps import Row

EXACT = {"llama3", "qwen", "o200k", "gemma"}
"""Of the others white space does not count: a control token takes that beside it (phi3, phi4), a blank is put
before a piece (mistral, mistral_first, llama2_always, gpt2_prefix), or it gets lost (unigram, wordpiece)."""
NORMALIZED = {"qwen", "unigram", "wordpiece"}
"""What these encode is another text: as Unicode composes it, or in small letters."""


def decoded(library: Any, ids: Sequence[int], weights: np.ndarray) -> str:
    """The trained ids of a row, each stretch of them where it stands: a decoder may treat the begin of a text
    otherwise."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], weights != 0, [0]))))
    texts = []
    for begin, end in edges.reshape(-1, 2).tolist():
        before = library.decode(ids[:begin], skip_special_tokens=False)
        texts.append(library.decode(ids[:end], skip_special_tokens=False)[len(before) :])
    return "".join(texts)


def expected(row: Row) -> str:
    """The trained stretches of a text."""
    text, spans = row
    return "".join(text[begin:end] for begin, end in spans)


def same(name: str, one: str, other: str) -> bool:
    """Whether two texts are the same, as far as a decoder can tell: to some a SentencePiece blank is a
    blank."""
    one, other = (each.replace("▁", " ") for each in (one, other))
    if name not in EXACT:
        one, other = ("".join(each.replace("##", "").split()) for each in (one, other))
    return one == other


def differing(
    name: str, tokenizer: Tokenizer, tokens: Tokens, rows: Sequence[Row]
) -> tuple[int, list[tuple[str, str]]]:
    """(how many rows were compared; of those that differ what is decoded, and what should be).

    Rows are left out whose tokens lie over an edge of what is trained, whose contents spell control tokens,
    or that have a character which the vocabulary lacks.
    """
    from tokenizers import Tokenizer as Library

    library = Library.from_buffer(tokenizer.plan.definition.text)
    unknown = -1 if tokenizer.plan.definition.unknown is None else tokenizer.plan.definition.unknown
    compared, differ = 0, []
    for number, row in enumerate(rows):
        own = slice(tokens.offsets[number], tokens.offsets[number + 1])
        ids = tokens.ids[own].tolist()
        if tokens.straddling[number] or tokens.guarded[number] or unknown in ids:
            continue
        compared += 1
        made, required = decoded(library, ids, tokens.weights[own]), expected(row)
        if name in NORMALIZED:  # but for control tokens, which nobody normalizes
            made, required = map(library.normalizer.normalize_str, (made, required))
        if not same(name, made, required):
            differ.append((made, required))
    return compared, differ
