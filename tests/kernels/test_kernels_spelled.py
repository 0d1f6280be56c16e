"""spelled: against the reference, on values of every kind, and words of every sort."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.spelled import spelled, words_of
from forge_gpu.kernels.layout import ABSENT, CANONICAL, CLEAN, ESCAPED, JSON, NULL, PLAIN, Spans
from forge_gpu.kernels.reference import spelled as reference
from forge_gpu.kernels.reference.jsontext import escape
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import column_of, run_checked

SCRATCH = Scratch()
PIECES = [
    b"a",
    b"<",
    b"|",
    b"x|>",
    b"<|x|>",
    b"<|",
    b"n",
    b"\\n",
    b"\\u003c",
    b"\\u00",
    b"\\",
    b"y" * 61,
    b"y" * 64,
]
WORDS = [
    b"<|x|>",
    b"<|x",
    b"na",
    b"<",
    b"a<",
    b"xa",
    b'"q"',
    b"u0",
    b"\\",
    b"\n",
    *(bytes([c]) for c in b"bcdefg"),
]


def assert_alike(column: Spans, words: list[bytes]) -> list[int]:
    result = spelled(column, words_of(words), SCRATCH).tolist()
    assert result == reference.spelled(column, [word for word in words if word]).tolist()
    return list(map(int, result))


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), max_size=6),
    words=st.lists(st.sampled_from([*WORDS, b""]), max_size=8),
    kind=st.sampled_from([PLAIN, CLEAN, ESCAPED, JSON]),
)
def test_equals_the_reference(values: list[bytes], words: list[bytes], kind: int) -> None:
    assert_alike(column_of([(kind, value) for value in values]), words)


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(st.text(st.sampled_from('nau<|x>"\\\n\t\x00bé'), max_size=40), max_size=6),
    words=st.lists(st.sampled_from([*WORDS, "é<".encode(), b"\x00", b"0000"]), max_size=4),
)
def test_bodies_in_the_canonical_form(texts: list[str], words: list[bytes]) -> None:
    """An escape's letter is none of the text: "\\na" does not spell "na"."""
    assert_alike(column_of([(CANONICAL, escape(text.encode())) for text in texts]), words)


def test_every_place_of_a_block_and_both_sides_of_a_value() -> None:
    values = [b"y" * before + b"<|x|>" + b"z" * after for before in range(130) for after in (0, 3, 64)]
    assert all(assert_alike(column_of([(PLAIN, value) for value in values]), [b"<|x|>"]))
    halves = [(PLAIN, b"y" * 60 + b"<|x"), (PLAIN, b"|>"), (NULL, b""), (ABSENT, b"")]
    assert assert_alike(column_of(halves), [b"<|x|>"]) == [0, 0, 0, 0]


def test_what_escapes_hide() -> None:
    body = json.dumps("a<|x|>").replace("<", "\\u003c")[1:-1].encode()
    assert assert_alike(column_of([(ESCAPED, body), (JSON, body)]), [b"<|x|>"]) == [1, 0]


def test_values_that_share_their_bytes() -> None:
    data = column_of([(PLAIN, b"a<|x|>b")]).data
    start, length = np.array([2, 0, 1, 1, 0]), np.array([5, 7, 5, 4, 0])
    column = Spans(data, start, length, np.full(5, PLAIN, np.uint8))
    assert assert_alike(column, [b"<|x|>"]) == [0, 1, 1, 0, 0]


def test_no_word_is_in_nothing() -> None:
    assert assert_alike(column_of([(PLAIN, b"abc"), (PLAIN, b"")]), []) == [0, 0]


@pytest.mark.parametrize(
    ("start", "length", "kind"),
    [(0, 4, PLAIN), (-1, 2, CLEAN), (2**62, 2**62, ESCAPED), (3, 1, PLAIN), (0, 1, 7)],
)
def test_a_value_outside_the_data_is_refused(start: int, length: int, kind: int) -> None:
    data = column_of([(PLAIN, b"abc")]).data
    column = Spans(data, np.array([start]), np.array([length]), np.array([kind], np.uint8))
    with pytest.raises(ValueError, match="value 0 of a column lies outside"):
        spelled(column, words_of([b"a"]), SCRATCH)


def test_spelled_in_checked_mode() -> None:
    run_checked(__file__)
