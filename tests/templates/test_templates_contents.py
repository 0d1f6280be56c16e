"""What was said, by the machine, is what reading in Python gives."""

from typing import Any

import pytest

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.kernels import layout
from forge_gpu.templates.contents import Contents, contents_by_role
from forge_gpu.templates.conversations import ListShape
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.roles import DEVELOPER, ROLES
from forge_gpu.templates.values import text_of_span
from tests.templates.agent_shapes import SHAPES, rows_of
from tests.templates.chat_support import WRITTEN, chat_template, chunk

ODD: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "value": "other key", "x": 1}, {"role": "assistant", "content": None}]},
    {
        "messages": [
            {"role": "user", "content": 7},
            {"role": "assistant", "content": "a", "tool_calls": {"a": 1}},
        ]
    },
    {"messages": [{"role": "assistant", "content": "", "tool_calls": ["é\\u0000", 1.5, None, {}]}]},
    {"messages": [{"from": "human", "value": "hi"}, {"from": "function_call", "value": '{"name": "f"}'}]},
    {"messages": [{"role": None, "content": "x"}]},
    {"messages": [{"role": "function_call", "content": '{"name": "f"}'}]},
    {"messages": []},
    {"messages": '[{"role": "user", "content": "in a text", "n": 1}]'},
    {"messages": [{"role": "user", "content": "", "n": 1}, {"role": "human", "content": "\n\n"}]},
]


KNOWN = {role: role for role in (*ROLES, DEVELOPER)}


@pytest.mark.parametrize("roles", [{}, {**KNOWN, "human": "user"}])
def test_by_the_machine_and_in_python(roles):
    rows: list[dict[str, Any]] = [row for shape in SHAPES for row in rows_of(shape, 4, seed=5)] + ODD * 4
    shape, engine = ListShape("messages", {"human": "user"}, roles, tools="tools"), CpuEngine()
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), (shape,), ("text",))
    given = shape.read(chunk(rows, renderer, engine), engine)
    other = shape.read(chunk(rows, renderer, CpuEngine()), engine)
    fast, slow = Contents(shape.renamed)(given, engine), contents_by_role(other, engine)
    assert (given.reason == other.reason).all() and given.details == other.details
    assert roles or (~given.plain).sum() > 100
    for column, expected in zip(fast, slow, strict=True):
        assert ((column.kind <= layout.NULL) == (expected.kind <= layout.NULL)).all()
        for row in range(len(rows)):
            assert text_of_span(column, row) == text_of_span(expected, row), rows[row]
