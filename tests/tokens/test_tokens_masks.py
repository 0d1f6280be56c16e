"""What is trained of a token is what Hugging Face's own places of tokens say: one that overlaps what the
assistant wrote. Where that is not so, there is a cause, and it is named here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from forge_gpu.config.schema import Mapping
from forge_gpu.kernels.cpu.token_rows import bytes_of_characters
from forge_gpu.kernels.layout import PADDING, Text
from forge_gpu.kernels.token_layout import Runs
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.shapes import shape_of
from forge_gpu.tokens.encoders import HuggingFace
from tests.templates.chat_support import WRITTEN, chat_template, render
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

Row = tuple[str, list[tuple[int, int]]]


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


def laid_out(rows: list[Row]) -> tuple[Text, Runs, Runs]:
    """(the texts, all of them literals; what is trained)"""
    data = [text.encode() for text, _ in rows]
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in data])))
    texts = Text(np.frombuffer(b"".join(data) + bytes(PADDING), np.uint8), offsets)
    pairs = np.array([pair for _, spans in rows for pair in spans], np.int64).reshape(-1, 2)
    counts = np.concatenate(([0], np.cumsum([len(spans) for _, spans in rows])))
    trained = bytes_of_characters(texts, Runs(counts, pairs[:, 0].copy(), pairs[:, 1].copy()))
    literals = Runs(np.arange(len(rows) + 1), offsets[:-1].copy(), offsets[1:].copy())
    return texts, literals, trained


@pytest.mark.parametrize("name", ["llama3", "qwen", "phi4", "phi3", "mistral", "gemma", "unigram"])
def test_masks_are_those_of_overlaps(name: str, rows: list[Row]) -> None:
    assert len(rows) > 60
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode(*laid_out(rows))
    library = HuggingFace(tokenizer.plan.definition.text)
    takes = {token.id for token in tokenizer.plan.definition.added if token.lstrip or token.rstrip}
    causes: Counter[str] = Counter()
    for number, (text, spans) in enumerate(rows):
        ids, places = library.with_offsets(text)
        own = slice(tokens.offsets[number], tokens.offsets[number + 1])
        assert tokens.ids[own].tolist() == ids
        for token, weight, (begin, end) in zip(ids, tokens.weights[own].tolist(), places, strict=True):
            if weight != any(begin < stop and end > start for start, stop in spans):
                assert token in takes and not weight, (text[begin:end], text)
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
