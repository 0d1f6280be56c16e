"""prose, repeats: against the reference on texts that are all edges, and inside their buffers on any
bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.prose import prose_of
from forge_gpu.kernels.cpu.repeats import repeats_of
from forge_gpu.kernels.reference import prose as plain_prose
from forge_gpu.kernels.reference import repeats as plain_repeats
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import edge_text, run_checked

SCRATCH = Scratch()
PIECES = [
    " ", "\n", "\n\n", "\t", "\v\f\r", ".", "...", "…", "!", "?", '"', "”", "- ", "•", "* ", "#", "{", "}",
    "the", "The,", "(OF)", "and", "with", "bE", "that's", "to\x00", "x", "ß", "中文", "\u2003", "\u00a0", "é",
    "Lorem IPSUM", "lorem", "JavaScript", "terms of Use", "use cookies", "uses  cookies", "one two three",
    "a b a b a b a b", "is it so? Yes. It is.", "\u2025", "😀", "….", "\u201c",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join).map(str.encode)
TOKENS = st.sampled_from(["a", "b", "cc", "\n", "\n\n", "d"])
WORDS = st.lists(TOKENS, max_size=120).map(" ".join).map(str.encode)


def assert_equal(rows: list[bytes], any_bytes: bool = False) -> None:
    text = edge_text(rows)
    pairs = [(repeats_of(text, SCRATCH), plain_repeats.repeats_of(text))]
    result = prose_of(text)
    if not any_bytes:
        pairs.append((result, plain_prose.prose_of(text)))  # type: ignore[arg-type]
    for made, expected in pairs:
        for name in made._fields:
            assert getattr(made, name).tolist() == getattr(expected, name).tolist(), name


@given(rows=st.lists(TEXTS | WORDS, max_size=6))
@settings(deadline=None, max_examples=200)
def test_equals_the_reference(rows: list[bytes]) -> None:
    assert_equal(rows)


@given(rows=st.lists(st.binary(max_size=120), max_size=6))
@settings(deadline=None, max_examples=80)
def test_any_bytes(rows: list[bytes]) -> None:
    assert_equal(rows, any_bytes=True)


def test_what_is_counted() -> None:
    text = "- The cat, and THE dog.\nIt is said to be so...\n# Is that right? Yes, it is, of course!\n"
    made = {name: int(value[0]) for name, value in prose_of(edge_text([text.encode()]))._asdict().items()}
    assert made["words"] == 21 and made["stops"] == 6 and made["lines"] == 3
    assert (made["bulleted"], made["trailing"], made["hashes"], made["points"]) == (1, 1, 1, 1)
    assert made["sentences"] == 3


def test_only_the_first_words_of_a_long_text_are_looked_at() -> None:
    assert_equal([b"a b " * 40000, b"x\n" * 70000, b"a"])


def test_a_row_outside_the_data_is_an_error() -> None:
    text = edge_text([b"abc"])
    text.offsets[1] = 2**40
    for kernel in (prose_of, lambda text: repeats_of(text, SCRATCH)):
        with pytest.raises(ValueError, match="outside its data"):
            kernel(text)


def test_in_checked_mode() -> None:
    run_checked(__file__)
