"""The library transformers as the oracle, where it is installed."""

import datetime

import pytest

from forge_gpu.templates.conversations import Conversation, ListShape
from forge_gpu.templates.environment import Refused
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.tracing.compiler import EAGER
from tests.templates.chat_cases import OTHER_SHAPES, PLAIN_SHAPES, TOOL, conversations
from tests.templates.chat_support import DATE, all_templates, chat_template, render

oracle = pytest.importorskip("transformers.utils.chat_template_utils")
SHAPE = ListShape("messages", {}, {}, tools="tools")


class Today(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(DATE)


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch):
    monkeypatch.setattr(oracle, "datetime", Today)


def wanted(source, tokens, messages, **options):
    try:
        texts, spans = oracle.render_jinja_template([messages], chat_template=source, **options, **tokens)
    except Exception as error:
        return type(error)
    return (texts[0], spans[0]) if options.get("return_assistant_tokens_mask") else texts[0]


@pytest.mark.parametrize(
    ("source", "tokens"), [pytest.param(source, tokens, id=name) for name, source, tokens in all_templates()]
)
def test_equals_apply_chat_template(source, tokens):
    template = chat_template(source, tokens)
    renderer = JinjaRenderer(template, (SHAPE,), ("text",), patience=EAGER)
    for shape in (*PLAIN_SHAPES, *OTHER_SHAPES):
        talks = conversations(shape, 6, seed=11)
        tools = [TOOL] if shape == "tool_calls" else None
        rows = [{"messages": talk, **({"tools": tools} if tools else {})} for talk in talks]
        for talk, got in zip(talks, render(renderer, rows), strict=True):
            text = wanted(source, tokens, talk, tools=tools)
            if isinstance(text, str):
                assert got == {"text": text}, shape
            else:
                assert isinstance(got, tuple), (shape, text)


def test_options():
    for name, source, tokens in all_templates():
        for shape in ("single", "prompt_only", "reasoning", "all_parts"):
            for talk in conversations(shape, 3, seed=12):
                for option in ({"add_generation_prompt": True}, {"continue_final_message": True}):
                    text = wanted(source, tokens, talk, **option)
                    try:
                        got = chat_template(source, tokens, **option).render(Conversation(talk))
                    except Refused:
                        got = None
                    assert got == (text if isinstance(text, str) else None), (name, shape, option)


def test_spans_of_generation_tags():
    found = 0
    for _, source, tokens in all_templates():
        if "generation %}" not in source and "generation -%}" not in source:
            continue
        for talk in conversations("three_turns", 5, seed=13):
            given = wanted(source, tokens, talk, return_assistant_tokens_mask=True)
            if isinstance(given, tuple):
                assert chat_template(source, tokens).render_spans(Conversation(talk)) == given
                found += 1
    assert found
