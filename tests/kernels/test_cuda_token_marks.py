"""Marks are taken out on a device as the reference takes them out, whatever the bytes and wherever they end.

The simulator wants a process of its own: `test_in_the_simulator` runs this file there.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference import token_rows as reference
from forge_gpu.kernels.token_layout import RUN, RUN_END, TRAINED, TRAINED_END, UNKNOWN, Runs
from tests.kernels.adversarial import edge_text
from tests.kernels.cuda_backends import BACKENDS, SIMULATED, open_device, run_simulated
from tests.kernels.test_kernels_token_rows import flat, marked_row

MARKS = [RUN, RUN_END, UNKNOWN, TRAINED, TRAINED_END]
LENGTHS = [0, 1, 7, 8, 9, 127, 128, 129, 255, 256, 257, 1000]
"""Around the ends of words, and of what one thread looks at."""


@pytest.fixture(params=BACKENDS[1:])
def device(request: pytest.FixtureRequest) -> Any:
    return open_device(request.param)


def unmarked(text: Text, device: Any) -> Any:
    """What the kernels give, on the host."""
    from forge_gpu.kernels.cuda.token_marks import unmark

    texts, runs, own, unknown = unmark(text, device)
    here = device.download
    ranges = [Runs(here(each.offsets), here(each.start), here(each.stop)) for each in (runs, own)]
    return Text(here(texts.data), here(texts.offsets)), *ranges, here(unknown)


def require_as_reference(rows: list[bytes], device: Any) -> None:
    text = edge_text(rows)
    assert flat(unmarked(text, device)) == flat(reference.unmark(text)), rows


@pytest.mark.parametrize("count", [0, 1, 3, 60])
def test_rows_as_templates_mark_them(count: int, device: Any) -> None:
    chance = random.Random(count)
    require_as_reference([marked_row(chance) for _ in range(count)], device)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_mark_anywhere_in_a_row(length: int, device: Any) -> None:
    """One mark, or a pair, at the first, the last and any place; rows without bytes around."""
    chance = random.Random(length)
    rows = [b"", bytes(MARKS), b"a" * length]
    for opens in (RUN, TRAINED):
        for begin, end in [(0, length), (length // 2, length), (0, length // 2), (length, length)]:
            row = b"a" * begin + bytes([opens]) + b"b" * (end - begin) + bytes([opens - 1])
            rows += [row + b"c" * (length - end), b""]
    at = chance.randint(0, length)
    rows.append(b"d" * at + bytes([UNKNOWN]) + b"e" * (length - at))
    require_as_reference(rows, device)


@pytest.mark.parametrize("seed", range(6))
def test_any_bytes(seed: int, device: Any) -> None:
    """Marks that close nothing, never close, nest, and touch; bytes just below the least mark."""
    chance = random.Random(seed)
    letters = [*MARKS, *MARKS, TRAINED_END - 1, 0xF4, 0x7B, 0x7F, 0x80, 0, 97, 98]
    rows = [bytes(chance.choices(letters, k=chance.choice([0, 1, 5, 40, 300]))) for _ in range(20)]
    require_as_reference(rows, device)
    require_as_reference([bytes(chance.choices(MARKS, k=200))], device)


def test_some_rows_of_a_text(device: Any) -> None:
    """A text that does not begin with its buffer."""
    chance = random.Random(3)
    text = edge_text([marked_row(chance) for _ in range(40)])
    part = Text(text.data, text.offsets[7:31])
    own = edge_text([text.row(row) for row in range(7, 30)])
    assert flat(unmarked(part, device)) == flat(reference.unmark(own))
    there = Text(device.upload(np.ascontiguousarray(text.data)), device.upload(text.offsets))
    assert flat(unmarked(there, device)) == flat(reference.unmark(text))


@pytest.mark.slow
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
