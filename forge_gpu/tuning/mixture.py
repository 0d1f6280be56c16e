"""The weights of several inputs, from a number of tokens that the mixture is to have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.tuning.lengths import why_no_tokens
from forge_gpu.tuning.look import Look
from forge_gpu.tuning.trade import Candidate, Trade, Wishes

WEIGHTS, BY = "data.weights", "data.weights_by"
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what the inputs have: 0 gives all the same share, 1 each what it has."""
ENOUGH = 0.999
"""Of the tokens wished for."""

F64 = npt.NDArray[np.float64]


def why_not(config: Config) -> str | None:
    if len(config.data.inputs) < 2:
        return "the plan has one input, which is no mixture"
    return why_no_tokens(config)


def mixture(look: Look, wishes: Wishes) -> Trade | str:
    """The most even mixture that has the tokens wished for."""
    if wishes.tokens is None:
        return "name the trained tokens that the mixture is to have: --tokens N"
    inputs, lengths = look.config.data.inputs, look.lengths
    there = np.bincount(lengths.source, lengths.trained, len(inputs)) / lengths.share
    if not there.all():
        return f"{inputs[int(np.argmin(there))]}: no trained token was seen of it"
    candidates = [_candidate(there, weights) for weights in _weights(there, wishes.tokens)]
    enough = [n for n, each in enumerate(candidates) if each.measures["tokens"] >= ENOUGH * wishes.tokens]
    if enough:
        chosen = max(enough, key=lambda n: candidates[n].measures["evenness"])
        why = f"the most even of those with {wishes.tokens:,} trained tokens"
    else:
        chosen = max(range(len(candidates)), key=lambda n: candidates[n].measures["tokens"])
        why = f"all inputs together have {there.sum():,.0f} trained tokens, less than {wishes.tokens:,}"
    return Trade("mixture", {"tokens": "most", "evenness": "most"}, candidates, chosen, why)


def _weights(there: F64, tokens: int) -> Iterator[F64]:
    for power in POWERS:
        yield there**power
    if tokens < there.sum():
        yield np.minimum(there, level(there, tokens))


def level(there: F64, tokens: float) -> float:
    """How much to take of each input, of a smaller one all it has, for so many tokens together."""
    left, rest = float(tokens), np.sort(there)
    for number, have in enumerate(rest.tolist()):
        even = left / (len(rest) - number)
        if have >= even:
            return even
        left -= have
    return float(rest[-1])


def _candidate(there: F64, weights: F64) -> Candidate:
    """evenness: the entropy of the shares, of the most that there is."""
    shares = np.round(weights / weights.sum(), 6)
    tokens = float(np.min(there[shares > 0] / shares[shares > 0]) * shares.sum())
    entropy = -float(np.sum(shares * np.log(np.maximum(shares, 1e-12)))) / float(np.log(len(shares)))
    return Candidate({WEIGHTS: shares.tolist(), BY: "tokens"}, {"tokens": tokens, "evenness": entropy})
