"""The trained ids of a row decode to what was to be trained, whatever the tokenizer and the template."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.tokens import rows as made_rows
from tests.tokens.decoded import differing
from tests.tokens.made import MAKERS
from tests.tokens.overlaps import Row, laid_out
from tests.tokens.test_tokens_exact import tokenizer_of
from tests.tokens.test_tokens_masks import SHAPES, rendered

ROWS = 300


def spans_of(parts: made_rows.Parts) -> Row:
    """A row whose contents are trained."""
    text, spans = "", []
    for literal, part in parts:
        if part and not literal:
            spans.append((len(text), len(text) + len(part)))
        text += part
    return text, spans


@pytest.mark.parametrize("name", MAKERS)
def test_trained_ids_decode_to_contents(name: str) -> None:
    tokenizer = tokenizer_of(name)
    chance = random.Random(f"{name} decoded")
    rows = [made_rows.row(chance, tokenizer.plan.definition, number % 5 == 0) for number in range(ROWS)]
    texts, literals = made_rows.laid_out(rows)
    tokens = tokenizer.encode(texts, literals, made_rows.laid_out(rows, trained=True)[1])
    compared, differ = differing(name, tokenizer, tokens, [spans_of(row) for row in rows])
    assert compared > 10 and differ == []


@pytest.fixture(scope="module", params=SHAPES)
def written(request: pytest.FixtureRequest) -> list[Row]:
    return rendered(request.param)


@pytest.mark.parametrize("name", MAKERS)
def test_trained_ids_decode_to_answers(name: str, written: list[Row]) -> None:
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode(*laid_out(written))
    compared, differ = differing(name, tokenizer, tokens, written)
    assert compared > 10 and differ == []


@pytest.mark.parametrize("wrong", ["a token less", "a token more"])
def test_a_wrong_mask_is_seen(wrong: str) -> None:
    tokenizer = tokenizer_of("llama3")
    rows: list[Row] = [("of it the words", [(5, 15)])]
    tokens = tokenizer.encode(*laid_out(rows))
    assert differing("llama3", tokenizer, tokens, rows) == (1, [])
    first = int(np.flatnonzero(tokens.weights)[0])
    tokens.weights[first if wrong == "a token less" else first - 1] ^= 1
    assert len(differing("llama3", tokenizer, tokens, rows)[1]) == 1
