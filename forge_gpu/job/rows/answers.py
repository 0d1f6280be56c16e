"""Tokens of answers that stand apart from their prompt: of one answer, or of the two of a pair.

The ids of a prompt with those of an answer behind them are the ids of the whole text, whatever tokens lie
over the edge between them. So an edge is drawn within the ids of whole texts, where the first token begins
that has a share in an answer, or that two texts do not have in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from forge_gpu.io.sinks.token_rows import Lists
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.tokens.tokenizer import U32, Tokens

PROMPT, FIRST, SECOND = 0, 1, 2
"""The weights of a row whose answers stand apart; they ascend."""


def apart(tokens: Tokens) -> Tokens:
    """Rows of one answer: from the first token that is trained on, all are."""
    size = np.diff(tokens.offsets)
    prompt = _before(tokens.weights != 0, tokens.offsets)
    return _with_weights(tokens, np.stack((prompt, size - prompt), axis=1).reshape(-1), (PROMPT, FIRST))


def pairs(chosen: Tokens, rejected: Tokens) -> Tokens:
    """Rows of two texts that begin with one prompt: its tokens, those of the chosen answer, and those of the
    rejected one. Tokens of the prompt that the texts do not share are the answers', and straddle."""
    first = _before(chosen.weights != 0, chosen.offsets)
    second = _before(rejected.weights != 0, rejected.offsets)
    prompt = _shared(chosen, rejected, np.minimum(first, second))
    rows = np.arange(len(chosen))
    order = np.stack((rows, len(rows) + rows), axis=1).reshape(-1)
    both = chosen.followed_by(rejected)
    sizes = np.diff(both.offsets)[order]
    begin = np.stack((np.zeros_like(prompt), prompt), axis=1).reshape(-1)
    made = both.taken(order, begin, sizes)
    whole = Tokens(
        made.ids,
        made.weights,
        made.offsets[::2],
        made.trained[::2],
        chosen.straddling + rejected.straddling + first + second - 2 * prompt,
        chosen.guarded + rejected.guarded,
    )
    counts = np.stack((prompt, sizes[::2] - prompt, sizes[1::2] - prompt), axis=1)
    return _with_weights(whole, counts.reshape(-1), (PROMPT, FIRST, SECOND))


def longest_text(tokens: Tokens) -> I64:
    """Of each row, the tokens of the longest text that it stands for: of a pair, the prompt with the longer
    answer; of others, all: int64[n]."""
    size = np.diff(tokens.offsets)
    if not (tokens.weights == SECOND).any():
        return size
    first, second = (_count(tokens.weights == answer, tokens.offsets) for answer in (FIRST, SECOND))
    longest: I64 = size - np.minimum(first, second)
    return longest


def lists_apart(ids: U32, weights: U8, offsets: I64, names: Sequence[str]) -> dict[str, Lists]:
    """What is written: a list of each weight, from that of prompts on, by name."""
    made = {}
    for weight, name in enumerate(names):
        own = weights == weight
        ends = np.concatenate(([0], np.cumsum(_count(own, offsets))))
        made[name] = (ids[own].view(np.int32), ends)
    return made


def _with_weights(tokens: Tokens, counts: I64, values: Sequence[int]) -> Tokens:
    """Rows of as many runs of tokens as there are values. counts: int64[n * runs], the tokens of each run."""
    rows = len(tokens)
    weights = np.repeat(np.tile(np.array(values, np.uint8), rows), counts)
    trained = np.diff(tokens.offsets) - counts[:: len(values)]
    return Tokens(tokens.ids, weights, tokens.offsets, trained, tokens.straddling, tokens.guarded)


def _before(what: npt.NDArray[np.bool_], offsets: I64) -> I64:
    """How many tokens of each row come before the first of these: int64[n]."""
    places = np.append(np.flatnonzero(what), len(what))
    first = places[np.searchsorted(places[:-1], offsets[:-1])]
    before: I64 = np.minimum(first, offsets[1:]) - offsets[:-1]
    return before


def _count(what: npt.NDArray[np.bool_], offsets: I64) -> I64:
    """How many tokens of each row these are: int64[n]."""
    counts: I64 = np.diff(np.concatenate(([0], np.cumsum(what)))[offsets])
    return counts


def _shared(one: Tokens, other: Tokens, most: I64) -> I64:
    """How many tokens two texts have in common from their beginning on, at most so many: int64[n]."""
    ends = np.concatenate(([0], np.cumsum(most)))
    inside = np.arange(ends[-1]) - np.repeat(ends[:-1], most)
    differ = (
        one.ids[np.repeat(one.offsets[:-1], most) + inside]
        != other.ids[np.repeat(other.offsets[:-1], most) + inside]
    )
    return _before(differ, ends)
