"""Compiled chat templates against Jinja itself: no byte may differ."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.fates import Reason
from forge_gpu.templates.conversations import Conversation, ListShape
from forge_gpu.templates.environment import Refused
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.jinja_rows import render_fields
from forge_gpu.templates.tracing.compiler import EAGER
from tests.templates.chat_cases import OTHER_SHAPES, PLAIN_SHAPES, TOOL, conversations
from tests.templates.chat_support import WRITTEN, all_templates, chat_template, render

ROWS = int(os.environ.get("FORGE_TEMPLATE_ROWS", "25"))
SHAPE = ListShape("messages", {}, {}, tools="tools")
FIELDS = (("text",), ("prompt", "completion"))


def expected(template, talk, fields):
    try:
        return dict(zip(fields, render_fields(template, talk, len(fields) > 1), strict=True))
    except Refused as refused:
        return int(Reason.TEMPLATE_REFUSED), str(refused)


@pytest.mark.parametrize(
    ("source", "tokens"), [pytest.param(source, tokens, id=name) for name, source, tokens in all_templates()]
)
def test_equals_jinja(source, tokens):
    template = chat_template(source, tokens)
    for fields in FIELDS:
        renderer = JinjaRenderer(template, (SHAPE,), fields, patience=EAGER)
        for shape in (*PLAIN_SHAPES, *OTHER_SHAPES):
            talks = conversations(shape, ROWS, seed=7)
            result = render(renderer, [{"messages": talk} for talk in talks])
            for talk, got in zip(talks, result, strict=True):
                assert got == expected(template, Conversation(talk), fields), shape
        talks = conversations("three_turns", ROWS, seed=8)
        result = render(renderer, [{"messages": talk, "tools": [TOOL]} for talk in talks])
        for talk, got in zip(talks, result, strict=True):
            assert got == expected(template, Conversation(talk, [TOOL]), fields), "tools"


def test_all_templates_compile():
    """Those written for the tests leave no row to Jinja but those that it refuses."""
    for name, source in WRITTEN.items():
        renderer = JinjaRenderer(chat_template(source), (SHAPE,), ("text",), patience=EAGER)
        render(renderer, [{"messages": talk} for talk in conversations("single", 40, seed=1)])
        counts = renderer.counts
        assert counts.row_wise == 0, name
        assert counts.compiled + counts.refused == 40, name


@given(st.lists(st.tuples(st.text(), st.text()), min_size=3, max_size=6))
@settings(deadline=None, max_examples=40)
def test_any_text(pairs):
    rows = [
        {"messages": [{"role": "user", "content": one}, {"role": "assistant", "content": two}]}
        for one, two in pairs
        if not any("\ud800" <= character <= "\udfff" for character in one + two)
    ]
    for name in ("stripped_with_bos", "thinking", "pieces", "escaped_json", "joined_contents"):
        template = chat_template(WRITTEN[name])
        renderer = JinjaRenderer(template, (SHAPE,), ("text",), patience=EAGER)
        for row, got in zip(rows, render(renderer, rows), strict=True):
            assert got == expected(template, Conversation(row["messages"]), ("text",))


def test_bytes_do_not_depend_on_chunks():
    """A renderer that has seen other rows, or none, or compiles nothing, gives the same bytes."""
    rows = [
        {"messages": talk} for shape in (*PLAIN_SHAPES, *OTHER_SHAPES) for talk in conversations(shape, 4, 3)
    ]
    for fields in (("text", "spans"), ("prompt", "completion")):
        for name in ("thinking", "default_system_and_tools", "generation_tags"):
            template = chat_template(WRITTEN[name])
            whole = render(JinjaRenderer(template, (SHAPE,), fields, patience=EAGER), rows)
            one = JinjaRenderer(template, (SHAPE,), fields, patience=EAGER)
            assert [render(one, [row])[0] for row in rows] == whole
            assert render(JinjaRenderer(template, (SHAPE,), fields, compiled=False), rows) == whole
