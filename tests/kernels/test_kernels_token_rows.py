"""kernels.cpu.token_rows against its reference, over buffers that end at a page edge."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from forge_gpu.kernels.cpu import token_rows as cpu
from forge_gpu.kernels.layout import I64, PADDING, Text
from forge_gpu.kernels.reference import token_rows as reference
from forge_gpu.kernels.token_layout import (
    CONTROL,
    EMPTY,
    PLAIN,
    PREFIXED,
    RUN,
    RUN_END,
    TRAINED,
    TRAINED_END,
    UNKNOWN,
    WORD_BITS,
    WRONG_BYTES,
    WRONG_SIZE,
    EncodedPieces,
    Pieces,
    Runs,
    spelling,
)
from tests.kernels.adversarial import at_page_edge, edge_text, run_checked

WORDS = ["a", " ", "the words", "naïve", "你好", "🙂", "é" * 40, "x" * 63, "y" * 64, "z" * 130, ""]
SPELLED = [b"", b" ", b"a", b"the", b" words", b"\n\n", b"8 bytes.", b"nine byte", b"s" * 16, b"t" * 21]
"""Of each id its bytes."""


def flat(made: Any) -> list[Any]:
    """A kernel's result as lists."""
    if isinstance(made, Text | Runs):
        bounds = [made.data[: made.offsets[-1]]] if isinstance(made, Text) else [made.start, made.stop]
        return [made.offsets.tolist(), *(each.tolist() for each in bounds)]
    return [flat(each) for each in made] if isinstance(made, tuple) else made.tolist()


def offsets_of(sizes: list[int]) -> I64:
    return np.concatenate(([0], np.cumsum(np.array(sizes, np.int64))))


def marked_row(chance: random.Random) -> bytes:
    row = bytes([UNKNOWN]) * (chance.random() < 0.1)
    for _ in range(chance.randint(0, 6)):
        text = "".join(chance.choices(WORDS, k=chance.randint(0, 3))).encode()
        marks = chance.choice([b"", bytes([RUN, RUN_END]), bytes([TRAINED, TRAINED_END])])
        row += marks[:1] + text + marks[1:]
    return row


def test_marks_are_taken_out() -> None:
    chance = random.Random(1)
    for count in (0, 1, 3, 300):
        texts = edge_text([marked_row(chance) for _ in range(count)])
        assert flat(cpu.unmark(texts)) == flat(reference.unmark(texts))
    made = cpu.unmark(edge_text([bytes([RUN]) + b"a" + bytes([RUN_END])]))[0].data
    assert made[: 1 + PADDING].tolist() == [97] + [0] * PADDING


def test_texts_are_gathered_and_searched() -> None:
    chance = random.Random(2)
    texts = edge_text(["".join(chance.choices(WORDS, k=chance.randint(0, 5))).encode() for _ in range(200)])
    rows = np.array(chance.sample(range(200), 150))
    starts, stops = texts.offsets[rows], texts.offsets[rows + 1]
    offsets = offsets_of((stops - starts).tolist())
    arguments = texts.data, starts, offsets
    assert flat(cpu.gather(*arguments)) == flat(reference.gather(*arguments))
    for points in ([0x597D], [0x1F642], [0xE9], [ord("z")], [], [ord("a"), 0x1F642]):
        bits = np.zeros(WORD_BITS, np.uint8)
        for point in points:
            bits[point >> 3] |= 1 << (point & 7)
        holds = cpu.holds_any(texts.data, starts, stops, bits)
        assert flat(holds) == flat(reference.holds_any(texts.data, starts, stops, bits))
        assert holds.any() == bool(points)


class Encoded:
    """Random pieces, and ids that do or do not spell them."""

    def __init__(self, chance: random.Random, count: int) -> None:
        self.spelled, self.spelled_offsets = at_page_edge(b"".join(SPELLED)), offsets_of([*map(len, SPELLED)])
        data = b""
        ids: list[int] = []
        start, stop, begin, end = (list[int]() for _ in range(4))
        for _ in range(count):
            own = chance.choices(range(len(SPELLED)), k=chance.randint(0, 6))
            text = b"".join(SPELLED[number] for number in own)
            kind = chance.random()
            if kind < 0.15 and own:
                own = [1, *own]
            elif kind < 0.25:
                text = text[:-1]
            elif kind < 0.4 and text:
                at = chance.randrange(len(text))
                text = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
            start.append(len(data))
            stop.append(len(data) + len(text))
            begin.append(len(ids))
            end.append(len(ids) + len(own))
            data, ids = data + text + b"|", ids + own  # behind each a byte for an added token
        self.data, self.ids = at_page_edge(data), np.array(ids, np.uint32)
        self.start, self.stop, self.begin, self.end = map(np.array, (start, stop, begin, end))

    def amiss(self, module: ModuleType, prefix: bool) -> Any:
        guarded = np.arange(len(SPELLED)) == 5
        words = spelling(self.spelled, self.spelled_offsets, guarded)
        return module.amiss(self.data, self.start, self.stop, self.ids, self.begin, self.end, words, prefix)


@pytest.mark.parametrize("prefix", [False, True])
def test_what_is_amiss_with_ids(prefix: bool) -> None:
    encoded = Encoded(random.Random(3), 500)
    flags = encoded.amiss(cpu, prefix)
    assert flat(flags) == flat(encoded.amiss(reference, prefix))
    together = int(np.bitwise_or.reduce(flags))
    assert together == WRONG_BYTES | WRONG_SIZE | CONTROL | EMPTY | (PREFIXED if prefix else 0)
    assert (flags == 0).any()


def runs_of(chance: random.Random, bounds: list[tuple[int, int]]) -> Runs:
    """Some ranges in each row, in order and apart, over edges of tokens and of pieces."""
    counts, start, stop = [], [], []
    for begin, end in bounds:
        points = sorted(chance.sample(range(begin, end + 1), min(2 * chance.randint(0, 3), end - begin)))
        pairs = list(zip(points[::2], points[1::2], strict=False))
        counts.append(len(pairs))
        start += [pair[0] for pair in pairs]
        stop += [pair[1] for pair in pairs]
    return Runs(offsets_of(counts), np.array(start, np.int64), np.array(stop, np.int64))


def test_tokens_of_rows_are_put_together() -> None:
    chance = random.Random(4)
    for _ in range(40):
        encoded = Encoded(chance, 30)
        flags = encoded.amiss(cpu, True)
        given, first, last = np.full(30, -1, np.int64), list[int](), list[int]()
        for piece in range(30):
            if flags[piece] & (WRONG_BYTES | WRONG_SIZE):
                given[piece] = len(first)
                inside = range(encoded.start[piece], encoded.stop[piece] + 1)
                bytes_of = sorted(chance.choices(inside, k=2 * (encoded.end[piece] - encoded.begin[piece])))
                first += bytes_of[::2]
                last += bytes_of[1::2]
        per_row = chance.choice([1, 3, 10])
        # An added token behind some pieces.
        kinds = [kind for piece in range(30) for kind in ([piece, -1] if chance.random() < 0.4 else [piece])]
        places = np.array([kind if kind >= 0 else kinds[k - 1] for k, kind in enumerate(kinds)])
        is_text = np.array(kinds) >= 0
        start = np.where(is_text, encoded.start[places], encoded.stop[places])
        stop = encoded.stop[places] + ~is_text
        rows = places // per_row
        counts = np.bincount(rows).tolist()
        pieces = Pieces(
            offsets_of(counts), start, stop, np.where(is_text, PLAIN, 77), start, stop,
            np.zeros(len(counts), np.int64),
        )  # fmt: skip
        bounds = [
            (int(encoded.start[low]), int(encoded.stop[min(low + per_row, 30) - 1]) + 1)
            for low in range(0, 30, per_row)
        ]
        made = EncodedPieces(
            encoded.ids, encoded.begin, encoded.end, flags, given,
            np.array(first, np.int64), np.array(last, np.int64),
        )  # fmt: skip
        arguments = pieces, made, encoded.spelled_offsets, runs_of(chance, bounds)
        assert flat(cpu.assemble(*arguments)) == flat(reference.assemble(*arguments))


def test_in_checked_mode() -> None:
    run_checked(__file__)
