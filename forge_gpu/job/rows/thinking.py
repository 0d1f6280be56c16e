"""What is trained without what the model thinks: `tokens.thinking: false`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import numpy as np
from ruamel.yaml import YAML

from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.token_layout import Runs

Range = tuple[int, int]


@cache
def marks() -> tuple[tuple[bytes, bytes], ...]:
    """How thinking begins, and how it ends."""
    text = (files("forge_gpu.job.rows") / "thinking.yaml").read_text(encoding="utf-8")
    return tuple((begin.encode(), end.encode()) for begin, end in YAML(typ="safe", pure=True).load(text))


def without_thinking(texts: Text, spans: Runs) -> Runs:
    """The ranges without what is thought in them, and without its marks. Thinking that an opening has begun,
    before the range, goes as well; what has no end goes to the end of its range."""
    data = texts.data[: texts.offsets[-1]].tobytes()
    suspects = _suspects(data, spans)
    if not len(suspects):
        return spans
    counts = np.ones(len(spans.start), np.int64)
    shorter: dict[int, list[Range]] = {}
    rows = np.searchsorted(spans.offsets, suspects, side="right") - 1
    for number, row in zip(suspects.tolist(), rows.tolist(), strict=True):
        span = int(spans.start[number]), int(spans.stop[number])
        shorter[number] = list(_spoken(data, int(texts.offsets[row]), *span))
        counts[number] = len(shorter[number])
    place = np.cumsum(counts) - counts
    total = int(counts.sum())
    start, stop = np.empty((2, total), np.int64)
    whole = np.setdiff1d(np.arange(len(counts)), suspects)
    start[place[whole]], stop[place[whole]] = spans.start[whole], spans.stop[whole]
    for number, ranges in shorter.items():
        for k, (begin, end) in enumerate(ranges, place[number]):
            start[k], stop[k] = begin, end
    return Runs(np.append(place, total)[spans.offsets], start, stop)


def _suspects(data: bytes, spans: Runs) -> I64:
    """Numbers of the ranges in which an end of thinking is, or a begin."""
    places = [at for pair in marks() for mark in pair for at in _places(data, mark)]
    number = np.searchsorted(spans.start, places, side="right") - 1
    inside = number[(number >= 0) & (np.array(places, np.int64) < spans.stop[number])] if places else number
    suspects: I64 = np.unique(inside)
    return suspects


def _places(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def _spoken(data: bytes, row: int, begin: int, end: int) -> Iterator[Range]:
    """What is left of a range. row: where its text begins."""
    opened = data[row:begin].rstrip()
    at = begin
    for first, last in marks():
        if opened.endswith(first):
            at = _behind(data, last, begin, end)
    while at < end:
        found = min(
            ((place, pair) for pair in marks() if (place := data.find(pair[0], at, end)) >= 0),
            default=None,
        )
        if found is None:
            yield at, end
            return
        place, (first, last) = found
        if at < place:
            yield at, place
        at = _behind(data, last, place + len(first), end)


def _behind(data: bytes, mark: bytes, begin: int, end: int) -> int:
    at = data.find(mark, begin, end)
    return end if at < 0 else at + len(mark)
