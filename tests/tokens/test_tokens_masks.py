"""What is trained of a token is what Hugging Face's own places of tokens say: one that overlaps what the
assistant wrote. Where that is not so, there is a cause, and it is named here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from forge_gpu.config.schema import Mapping
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.shapes import shape_of
from tests.templates.chat_support import WRITTEN, chat_template, render
from tests.tokens.overlaps import Row, laid_out, overlapping
from tests.tokens.test_tokens_exact import tokenizer_of

SHAPES = {
    "conversation": Mapping(shape="conversation", messages="messages", tools="tools"),
    "flat": Mapping(shape="flat", query="q", response="a", system="s"),
}
CONTENTS = ["the words ", " of\nit", "naïve 你好", "  people\n", "12 <b>", "part"]
TAKES_WHITE_SPACE = {"phi3", "phi4"}
"""Of these the first token of a turn takes the white space behind it, which is the answer's: to Hugging Face
it overlaps the answer. Here a control token is trained where its own text is."""

OF_THESE = [
    "{% for m in messages %}" + turn + "{% endfor %}{% if add_generation_prompt %}" + opening + "{% endif %}"
    for turn, opening in (
        ("<|{{ m.role }}|>\n{{ m.content }}<|end|>\n", "<|assistant|>\n"),
        ("<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>", "<|im_start|>assistant<|im_sep|>"),
    )
]

WITHOUT_END = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""As GLM's: what ends a turn is the token that opens the next one, and belongs to that message."""


def records(shape: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(12):
        question, answer = CONTENTS[number % 6], CONTENTS[(number * 5 + number // 6) % 6]
        if shape == "flat":
            made.append({"q": question, "a": answer} | ({"s": "be good"} if number % 2 else {}))
            continue
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        made.append({"messages": messages * (1 + number % 3)})
    return made


def rendered(shape: str, sources: Sequence[str] = (*WRITTEN.values(), *OF_THESE, WITHOUT_END)) -> list[Row]:
    """Texts with what the assistant wrote in them, of all templates of the tests, where that is known."""
    rows: list[Row] = []
    for source in sources:
        renderer = JinjaRenderer(
            chat_template(source), shape_of(SHAPES[shape]).sides(SHAPES[shape]), ("text", "spans")
        )
        for result in render(renderer, records(shape)):
            if isinstance(result, dict) and result["spans"] != "null":
                rows.append((result["text"], json.loads(result["spans"])))
    return rows


@pytest.fixture(scope="module", params=SHAPES)
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return rendered(request.param)


@pytest.mark.parametrize("name", ["llama3", "qwen", "phi4", "phi3", "mistral", "gemma", "unigram"])
def test_masks_are_those_of_overlaps(name: str, rows: list[Row]) -> None:
    assert len(rows) > 60
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode(*laid_out(rows))
    takes = {token.id for token in tokenizer.plan.definition.added if token.lstrip or token.rstrip}
    causes: Counter[str] = Counter()
    for number, (text, spans) in enumerate(rows):
        ids, expected = overlapping(tokenizer, text, spans)
        own = slice(tokens.offsets[number], tokens.offsets[number + 1])
        assert tokens.ids[own].tolist() == ids
        for token, weight, of_overlap in zip(ids, tokens.weights[own].tolist(), expected, strict=True):
            if weight != of_overlap:
                assert token in takes and not weight, (token, text)
                causes["white space of a control token"] += 1
    assert bool(causes) == (name in TAKES_WHITE_SPACE)


def test_where_a_template_ends_no_turn_the_next_ones_opening_is_not_trained() -> None:
    tokenizer = tokenizer_of("phi3")
    rows = rendered("conversation", [WITHOUT_END])
    tokens = tokenizer.encode(*laid_out(rows))
    opens = {
        token.id
        for token in tokenizer.plan.definition.added
        if token.content in ("<|user|>", "<|assistant|>")
    }
    assert len(opens) == 2 and opens <= set(tokens.ids.tolist())
    assert opens.isdisjoint(tokens.ids[tokens.weights != 0].tolist())
    assert tokens.trained.all()


@pytest.mark.parametrize("compiled", [True, False])
def test_white_space_behind_an_end_of_turn_is_not_trained(compiled: bool) -> None:
    """Whatever an answer ends with: what stands behind the end of its turn may spell it again."""
    renderer = JinjaRenderer(
        chat_template(WRITTEN["chatml"]),
        shape_of(SHAPES["conversation"]).sides(SHAPES["conversation"]),
        ("text", "spans"),
        compiled=compiled,
    )
    contents = [">\n", "\n", " ", "x\n", "<|im_end|>\n"]
    rows = [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": each}] * 2}
        for each in contents
    ]
    for content, made in zip(contents, render(renderer, rows), strict=True):
        spans = [made["text"][begin:end] for begin, end in json.loads(made["spans"])]
        assert spans == [f"{content}<|im_end|>"] * 2
