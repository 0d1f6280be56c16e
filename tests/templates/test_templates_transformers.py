"""A real tokenizer's public `apply_chat_template` as the oracle: of the project's own templates, and of a
sample of those of FORGE_TEMPLATES. `make acceptance` takes all."""

import hashlib

import pytest

from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import Refused
from tests.templates.agent_shapes import SHAPES, rows_of
from tests.templates.chat_cases import conversations
from tests.templates.chat_support import DATE, WRITTEN, all_templates, chat_template
from tests.templates.differential import compare_masks, compare_prompts, compare_spans, compare_texts
from tests.templates.span_oracle import tame
from tests.templates.tokenizers_of import applied, on, tokenizer_of, transformers

transformers()
SAMPLED = 12  # one of so many of the folder
NOT_IN_TURNS = ("joined_contents", "Wizard_v1.2", "meta-llama_Llama-Guard-3-11B-Vision")
"""Templates whose completions are not known: they write all contents at one place, or none, or other words
before them where the answer is there."""


def sampled():
    """Templates of the tests, and some of the folder: each name always the same way."""
    for name, source, tokens in all_templates():
        if name in WRITTEN or hashlib.sha256(name.encode()).digest()[0] % SAMPLED == 0:
            yield pytest.param(name, source, tokens, id=name)


TEMPLATES = list(sampled())


@pytest.fixture(autouse=True)
def _fixed_date():
    with on(DATE):
        yield


def test_there_are_many_shapes():
    assert len(SHAPES) >= 36 and len(WRITTEN) >= 12


@pytest.mark.parametrize(("name", "source", "tokens"), TEMPLATES)
def test_texts_are_those_of_the_tokenizer(name, source, tokens):
    compared = compare_texts(name, source, tokens, 1, seed=11)
    assert not compared.differing, compared.differing[0]


@pytest.mark.parametrize(("name", "source", "tokens"), TEMPLATES)
def test_spans_are_those_that_prefixes_show(name, source, tokens):
    compared = compare_spans(name, source, tokens, 1, seed=12)
    assert not compared.differing, compared.differing[0]


@pytest.mark.parametrize(("name", "source", "tokens"), TEMPLATES)
def test_completions_begin_where_the_prompt_ends(name, source, tokens):
    result = compare_prompts(name, source, tokens, 1, seed=5)
    assert not result.differing, result.differing[0]
    assert 4 * result.unknown <= result.rows or name in NOT_IN_TURNS


def test_options():
    for name, source, tokens in all_templates():
        if name not in WRITTEN:
            continue
        tokenizer = tokenizer_of(source, tokens)
        for shape in ("single", "prompt_only", "reasoning", "all_parts"):
            for messages in conversations(shape, 3, seed=12):
                for option in ({"add_generation_prompt": True}, {"continue_final_message": True}):
                    text = applied(tokenizer, {"messages": messages}, **option)
                    try:
                        made = chat_template(source, tokens, **option).render(Conversation(messages))
                    except Refused:
                        made = None
                    assert made == (text if isinstance(text, str) else None), (name, shape, option)


def test_masks_of_generation_tags_are_those_of_transformers():
    equal = 0
    for _, source, tokens in all_templates():
        if "generation %}" in source or "generation -%}" in source:
            rows = [tame(rows_of(shape, 1, 13)[0]) for shape in ("system, three turns", "rounds of calls")]
            equal += compare_masks(source, tokens, rows)
    assert equal
