"""The threshold of near-duplicates against a truth that is made: copies with few words changed, which are
duplicates, and texts with many changed, which are none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.dedup.near import NearDuplicates, find_clusters
from forge_gpu.job.rows.near import settings_of
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.tuning.look import Look
from forge_gpu.tuning.trade import Candidate, Trade, Wishes

THRESHOLD = "preprocessing.dedup.near.threshold"
GRID = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MOST_TEXTS = 500
LEAST_WORDS = 10
OTHER = 4
"""Times the words that may differ in a copy: with so many changed a text is another."""
NEAR_BEST = 0.005


def why_not(config: Config) -> str | None:
    if config.preprocessing.dedup.near is None:
        return "the plan looks for no near-duplicates: set preprocessing.dedup.near.threshold in it"
    return None


def near(look: Look, wishes: Wishes) -> Trade | str:
    """The highest threshold of the best F1: it lets the fewest rows go."""
    settings = look.config.preprocessing.dedup.near
    assert settings is not None
    seed = look.config.preprocessing.seed
    texts = [text for text in look.texts if len(text.split()) >= LEAST_WORDS][:MOST_TEXTS]
    if len(texts) < 2:
        return f"no two of the rows looked at have {LEAST_WORDS} words to change"
    chance = random.Random(seed)
    copies = [_changed(text, texts, wishes.same * chance.random(), chance) for text in texts]
    others = [_changed(text, texts, min(OTHER * wishes.same, 0.9), chance) for text in texts]
    every = _text([*texts, *copies, *others])
    found = settings_of(settings, seed)
    candidates = [_measured(replace(found, threshold=each), every, len(texts)) for each in GRID]
    scores = [_f1(each) for each in candidates]
    chosen = max(n for n, score in enumerate(scores) if score >= max(scores) - NEAR_BEST)
    best = candidates[chosen].measures
    why = (
        f"of copies with up to {wishes.same:.0%} of the words changed {best['recall']:.1%} are seen, and "
        f"{best['precision']:.1%} of what is seen are such"
    )
    return Trade("near", {"precision": "most", "recall": "most"}, candidates, chosen, why)


def _f1(candidate: Candidate) -> float:
    precision, recall = candidate.measures["precision"], candidate.measures["recall"]
    return 2 * precision * recall / max(precision + recall, 1e-12)


def _changed(text: bytes, texts: Sequence[bytes], share: float, chance: random.Random) -> bytes:
    """The text with a share of its words, at least one, replaced by words of another."""
    words = text.split()
    own = set(words)
    pool = [word for word in chance.choice(texts).split() if word not in own] or [b"otherwise"]
    for place in chance.sample(range(len(words)), max(1, round(share * len(words)))):
        words[place] = chance.choice(pool)
    return b" ".join(words)


def _text(texts: Sequence[bytes]) -> Text:
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int64)
    data = np.zeros(int(offsets[-1]) + layout.PADDING, np.uint8)
    data[: offsets[-1]] = np.frombuffer(b"".join(texts), np.uint8)
    return Text(data, offsets)


def _measured(settings: NearDuplicates, every: Text, count: int) -> Candidate:
    """What the job's own search sees of `count` texts, as many copies, and as many others."""
    sizes = np.diff(every.offsets)
    hashes = settings.band_hashes(every)
    raw = every.data.tobytes()

    def read_rows(rows: I64) -> Text:
        return _text([raw[every.offsets[row] : every.offsets[row + 1]] for row in rows.tolist()])

    clusters = find_clusters(
        settings,
        lambda band: [np.ascontiguousarray(hashes[:, band])],
        np.ones(len(sizes), np.bool_),
        sizes,
        read_rows,
        64 * 2**20,
    )
    of_text, of_copy, of_other = clusters.label.reshape(3, count)
    hits, misses = int(np.sum(of_text == of_copy)), int(np.sum(of_text == of_other))
    measures = {
        "threshold": settings.threshold,
        "precision": hits / (hits + misses) if hits + misses else 1.0,
        "recall": hits / count,
        "rows_of_the_data": float(np.mean(of_text != np.arange(count))),
    }
    return Candidate({THRESHOLD: settings.threshold}, measures)
