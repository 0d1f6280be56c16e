"""How long rows and packs may be: what is cut, and what stays empty, by the lengths of a part of the rows."""

from __future__ import annotations

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.kernels.layout import I64
from forge_gpu.packs.places import PACKERS, groups_of, padded
from forge_gpu.tuning.look import U32, Lengths, Look
from forge_gpu.tuning.trade import Candidate, Trade, Wishes

LEAST = 128
PACKS = 64
"""That are made of the lengths, repeated for it, so that the last one, half empty, hardly counts."""
MOST_ROWS = 2_000_000
NEAR_BEST = 0.005
"""Of the places for tokens: as good as the best."""

MAX_LENGTH, PACK_LENGTH = "model.max_length", "output.pack_length"


def why_no_tokens(config: Config) -> str | None:
    """Why lengths are not known; None where they are."""
    if config.output.form != "tokens" or config.tokens.tokenizer is None:
        return "the plan writes no tokens: set output.form=tokens and tokens.tokenizer in it"
    return None


def why_no_packs(config: Config) -> str | None:
    return why_no_tokens(config) or (
        "the plan packs no rows: set output.packing" if config.output.packing == "none" else None
    )


def grid(most: int | None, longest: int) -> list[int]:
    """Powers of two, and what lies midway between them, up to the first that holds the longest row, and no
    more than `most`, which is there too where rows are as long."""
    made: list[int] = []
    length = LEAST
    while True:
        for each in (length, length * 3 // 2):
            if most is not None and each >= most:
                return [*made, most]
            made.append(each)
            if each >= longest:
                return made
        length *= 2


def max_length(look: Look, wishes: Wishes) -> Trade:
    """The least length that leaves the wanted share of rows whole."""
    tokens = look.lengths.tokens.astype(np.int64)
    total = max(int(tokens.sum()), 1)
    candidates = []
    for length in grid(look.config.model.max_length, int(tokens.max(initial=1))):
        whole = float(np.mean(tokens <= length)) if len(tokens) else 1.0
        over = float(np.maximum(tokens - length, 0).sum()) / total
        candidates.append(
            Candidate({MAX_LENGTH: length}, {"length": length, "rows_whole": whole, "tokens_over": over})
        )
    enough = [n for n, each in enumerate(candidates) if each.measures["rows_whole"] >= wishes.coverage]
    chosen = enough[0] if enough else len(candidates) - 1
    share = candidates[chosen].measures["rows_whole"]
    why = f"{share:.2%} of the rows are whole, and {wishes.coverage:.2%} are to be"
    if not enough:
        why += "; no length that the model takes leaves so many whole"
    return Trade(
        "max_length",
        {"length": "least", "rows_whole": "most", "tokens_over": "least"},
        candidates,
        chosen,
        why,
    )


def pack_length(look: Look, wishes: Wishes) -> Trade:
    """The length of packs that loses the fewest places: to what is cut, and to what stays empty."""
    config, lengths = look.config, look.lengths
    most = max(config.output.pack_length or 0, config.model.max_length or 0) or None
    longest = int(lengths.tokens.max(initial=1))
    candidates = [
        Candidate({PACK_LENGTH: length}, _packed(config, lengths, length))
        for length in grid(most, longest if most is None else most)
    ]
    losses = [each.measures["cut"] + 1 - each.measures["fill"] for each in candidates]
    chosen = next(n for n, loss in enumerate(losses) if loss <= min(losses) + NEAR_BEST)
    best = candidates[chosen].measures
    why = f"packs are {best['fill']:.1%} full, and {best['cut']:.2%} is cut; longer ones are no better"
    return Trade(
        "pack_length",
        {"length": "least", "fill": "most", "cut": "least"},
        candidates,
        chosen,
        why,
    )


def _packed(config: Config, looked: Lengths, length: int) -> dict[str, float]:
    """fill: share of the packs' places that hold a token. cut: of whole rows in packs, the share of all
    tokens that do not fit, or are in rows that do not; of rows that go on in the next pack, the share of rows
    that do."""
    output, tokens = config.output, looked.tokens
    total = max(int(tokens.sum(dtype=np.int64)), 1)
    rows, files, cut = tokens, looked.file, 0.0
    if output.packing == "bfd":
        room = length // output.pad_rows_to * output.pad_rows_to
        fits = tokens <= room if config.tokens.cut == "none" else np.ones(len(tokens), np.bool_)
        rows, files = np.minimum(tokens[fits], room), files[fits]
        cut = 1 - int(rows.sum(dtype=np.int64)) / total
    rows, files = _repeated(rows, files, length, looked.share)
    if not len(rows):
        return {"length": length, "fill": 0.0, "cut": cut}
    groups = groups_of(output.pack_within, rows, files)
    made = PACKERS[output.packing](padded(rows, output.pad_rows_to), length, groups)
    if output.packing == "wrapped":
        cut = float(np.mean(made.places[:, 1].astype(np.int64) + rows > length))
    return {"length": length, "fill": int(rows.sum(dtype=np.int64)) / (made.count * length), "cut": cut}


def _repeated(rows: U32, files: I64, length: int, share: float) -> tuple[U32, I64]:
    """The lengths as often as the whole has them, or as PACKS packs take, whichever is less."""
    total = max(int(rows.sum(dtype=np.int64)), 1)
    times = min(round(1 / share), -(-PACKS * length // total), max(MOST_ROWS // max(len(rows), 1), 1))
    return np.tile(rows, max(times, 1)), np.tile(files, max(times, 1))
