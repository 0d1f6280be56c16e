"""structure: the kernel against the reference, and arrays cut in blocks against arrays in one piece."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import scan
from forge_gpu.kernels.cpu import structure as cpu
from forge_gpu.kernels.layout import CUT, ENDED, MORE
from forge_gpu.kernels.reference import structure as reference
from tests.kernels.adversarial import at_page_edge, run_checked
from tests.kernels.json_texts import records

ALPHABETS = ['[]{},"\\ a', "[],", '"\\', '[{"a\\": ,}]', 'aaaaaaaaaaaaaaa",[]']


def check(data: bytes, begin: int, want: int, before: list[int]) -> None:
    buffer = at_page_edge(data)
    ours, theirs = np.array(before, np.int64), np.array(before, np.int64)
    result = cpu.walk_array(buffer, begin, want, ours)
    assert result == reference.walk_array(buffer, begin, want, theirs)
    assert ours.tolist() == theirs.tolist()


@given(st.data())
@settings(deadline=None, max_examples=500)
def test_random(data: st.DataObject) -> None:
    text = data.draw(st.text(data.draw(st.sampled_from(ALPHABETS)), max_size=300)).encode()
    before = [data.draw(st.integers(0, 3)), data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1)), 7]
    check(text, data.draw(st.integers(0, min(5, len(text)))), data.draw(st.integers(0, 320)), before)


@pytest.mark.parametrize("mark", ["\\", "\\\\", '"', '\\"', "]", ",", "[", '","', "\\\\\\"])
def test_every_place_in_a_block(mark: str) -> None:
    for n in range(140):
        for text in ("[" + "x" * n + mark, '["' + "x" * n + mark, "[" + "x" * n + mark + '],",]x'):
            check(text.encode(), 0, n // 2, [0, 0, 0, 0])


def test_outcomes() -> None:
    state = np.zeros(4, np.int64)
    first, second = (np.frombuffer(text, np.uint8) for text in (b' [1, "a,]', b'", [2,3] ]x'))
    assert cpu.walk_array(first, 0, 0, state) == 4 and state.tolist() == [1, 0, 0, CUT]
    assert cpu.walk_array(first, 4, 4, state) == len(first) and state.tolist() == [1, 1, 0, MORE]
    assert cpu.walk_array(second, 0, 2, state) == 9 and state.tolist() == [0, 0, 0, ENDED]


@given(st.lists(records(broken=False), max_size=8), st.integers(1, 90), st.integers(0, 200))
@settings(deadline=None, max_examples=100)
def test_cut_array_has_the_same_elements(elements: list[bytes], block: int, chunk: int) -> None:
    """Streamed in blocks and cut into chunks, an array has the elements that it has in one piece."""
    text = b" [" + b",\n".join(elements) + b"] "
    assert json.loads(text) is not None
    begin, state, cuts = text.index(b"[") + 1, np.zeros(4, np.int64), []
    for start in range(0, len(text), block):
        data, at = np.frombuffer(text[start : start + block], np.uint8), 0
        while True:
            at = cpu.walk_array(data, at, max(0, begin + chunk - start), state)
            if state[3] == MORE:
                break
            cuts.append(text[begin : start + at])
            begin = start + at
            if state[3] == ENDED:
                break
        if state[3] == ENDED:
            break
    assert state[3] == ENDED and text[begin : begin + 1] == b"]"
    result = [
        row
        for cut in cuts
        for records in [scan.scan_records(np.frombuffer(cut, np.uint8), "array", (), 1 << 30)]
        for row in (cut[s : s + n] for s, n in zip(records.start, records.length, strict=True))
    ]
    assert result == elements


def test_checked() -> None:
    run_checked(__file__)
