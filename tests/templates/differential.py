"""Forge against a tokenizer's public `apply_chat_template`, and its spans against prefixes: for the test that
samples, and for the script that takes all (`benchmarks/acceptance/templates.py`)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from forge_gpu.templates.conversations import ListShape
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.tracing.compiler import EAGER
from tests.templates.agent_shapes import SHAPES, rows_of
from tests.templates.chat_support import chat_template, render
from tests.templates.span_oracle import required_spans, tame
from tests.templates.tokenizers_of import applied, tokenizer_of

SHAPE = ListShape("messages", {}, {}, tools="tools")


@dataclass
class Compared:
    """Rows of one template. compiled, rendered: by shape, those that the tokenizer renders. why: reason ->
    rows that were left to Jinja. unknown: rows whose spans Forge does not know."""

    rows: int = 0
    differing: list[str] = field(default_factory=list)
    compiled: Counter[str] = field(default_factory=Counter)
    rendered: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    unknown: int = 0


def compare_texts(name: str, source: str, tokens: dict[str, str], count: int, seed: int) -> Compared:
    """`count` rows of every shape: their texts, or that both refuse them."""
    tokenizer, result = tokenizer_of(source, tokens), Compared()
    renderer = JinjaRenderer(chat_template(source, tokens), (SHAPE,), ("text",), patience=EAGER)
    for shape in SHAPES:
        rows, before = rows_of(shape, count, seed), renderer.counts.row_wise
        for row, made in zip(rows, render(renderer, rows), strict=True):
            text = applied(tokenizer, row)
            result.rows += 1
            result.rendered[shape] += isinstance(text, str)
            if made != {"text": text} and (isinstance(text, str) or isinstance(made, dict)):
                result.differing.append(f"{name}, {shape}: {row}\n tokenizer {text!r}\n Forge {made!r}")
        result.compiled[shape] += result.rendered[shape] - (renderer.counts.row_wise - before)
    result.why.update(dict(renderer.fallbacks()))
    return result


def compare_spans(name: str, source: str, tokens: dict[str, str], count: int, seed: int) -> Compared:
    """`count` rows of every shape: their spans by the machine, by Jinja and by prefixes."""
    tokenizer, result = tokenizer_of(source, tokens), Compared()
    fields = ("text", "spans")
    renderer = JinjaRenderer(chat_template(source, tokens), (SHAPE,), fields)
    by_jinja = JinjaRenderer(chat_template(source, tokens), (SHAPE,), fields, compiled=False)
    for shape in SHAPES:
        rows = [tame(row) for row in rows_of(shape, count, seed)]
        for row, made, other in zip(rows, render(renderer, rows), render(by_jinja, rows), strict=True):
            if isinstance(made, tuple):
                continue
            result.rows += 1
            spans = json.loads(made["spans"])
            result.unknown += spans is None
            fault = "" if made == other else f"by the machine {made['spans']}, by Jinja {other['spans']}"
            tagged = renderer.span_rule is not None and renderer.span_rule.tagged
            required = None if tagged else required_spans(tokenizer, row)
            if not fault and spans is not None and required is not None:
                fault = _fault(made["text"], spans, required)
            if fault:
                result.differing.append(f"{name}, {shape}: {row}\n {fault}")
    return result


def compare_prompts(name: str, source: str, tokens: dict[str, str], count: int, seed: int) -> Compared:
    """`count` rows of every shape that ends with an answer: prompt and completion are the text, cut where the
    prompt alone ends; a row is refused only where the text does not begin with that."""
    tokenizer, result = tokenizer_of(source, tokens), Compared()
    renderer = JinjaRenderer(chat_template(source, tokens), (SHAPE,), ("prompt", "completion"))
    tagged = "{% generation" in source or "{%- generation" in source
    for shape in SHAPES:
        rows = [row for row in rows_of(shape, count, seed) if row["messages"][-1]["role"] == "assistant"]
        for row, made in zip(rows, render(renderer, rows), strict=True):
            text = applied(tokenizer, row)
            before = {**row, "messages": row["messages"][:-1]}
            prompt = applied(tokenizer, before, add_generation_prompt=True) if before["messages"] else ""
            begins = isinstance(text, str) and isinstance(prompt, str) and text.startswith(prompt)
            result.rows += isinstance(text, str)
            result.unknown += isinstance(text, str) and isinstance(made, tuple)
            if isinstance(made, tuple):
                fault = "is refused" if begins and prompt and not tagged else ""
            elif made["prompt"] + made["completion"] != text:
                fault = "is another text"
            else:
                fault = "" if tagged or not begins or made["prompt"] == prompt else "is cut elsewhere"
            if fault:
                result.differing.append(
                    f"{name}, {shape}, {fault}: {row}\n prompt {prompt!r}\n Forge {made!r}"
                )
    return result


def _fault(text: str, spans: list[list[int]], required: list[tuple[int, int] | None]) -> str:
    """In a line what is wrong; "" where each span that prefixes show is there, and none besides."""
    shown = [span for span in required if span is None or span[0] < span[1]]
    made = [tuple(span) for span in spans]
    right = all(span in made for span in shown if span) and (None in shown or made == shown)
    return "" if right else f"{[text[a:b] for a, b in made]} and not {[s and text[slice(*s)] for s in shown]}"


def compare_masks(source: str, tokens: dict[str, str], rows: list[dict[str, Any]]) -> int:
    """How many rows of a template with generation tags have transformers' own mask; asserts that all have.

    A special token is one token of many characters, other characters are one for each of their bytes.
    """
    tokenizer = tokenizer_of(source, tokens)
    renderer = JinjaRenderer(chat_template(source, tokens), (SHAPE,), ("text", "spans"))
    equal = 0
    for row, made in zip(rows, render(renderer, rows), strict=True):
        if isinstance(made, tuple):
            continue
        encoded = tokenizer.apply_chat_template(
            row["messages"], tools=row.get("tools"), return_assistant_tokens_mask=True
        )
        spans = [tuple(span) for span in json.loads(made["spans"])]
        places = tokenizer(made["text"], add_special_tokens=False, return_offsets_mapping=True)
        assert places["input_ids"] == encoded["input_ids"]
        mask = [int(any(a <= at < b for a, b in spans)) for at, _ in places["offset_mapping"]]
        assert encoded["assistant_masks"] == mask, (row, made)
        equal += 1
    return equal
