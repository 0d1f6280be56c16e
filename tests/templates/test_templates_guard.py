"""The guard that is always on."""

import pytest

from forge_gpu.errors import TemplateError
from forge_gpu.templates import guard
from forge_gpu.templates.conversations import ListShape
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.tracing import fields
from forge_gpu.templates.tracing.compiler import EAGER
from forge_gpu.templates.tracing.expressions import Text
from forge_gpu.templates.tracing.fields import Compiled
from forge_gpu.templates.vm.code import Code
from tests.templates.chat_cases import conversations
from tests.templates.chat_support import WRITTEN, chat_template, render

SHAPE = ListShape("messages", {}, {})


def rows(shape="single", count=40):
    return [{"messages": talk} for talk in conversations(shape, count, seed=5)]


def test_rows_of_every_program_are_compared():
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), (SHAPE,), ("text",), patience=EAGER)
    render(renderer, rows())
    render(renderer, rows())
    # 80 rows of one program: the 1st, 8th and 64th.
    assert renderer.guard.compared == 3


DIFFERS = r"differs from Jinja at character \d+.*set model.compile to false"


def test_a_wrong_program_stops_the_job(monkeypatch):
    from forge_gpu.templates.tracing import compiler

    real = fields.trace_fields

    def wrong(*arguments):
        result = real(*arguments)
        assert isinstance(result, Compiled)
        result.fields = tuple((*parts, Text("!")) for parts in result.fields)
        return result

    monkeypatch.setattr(compiler, "trace_fields", wrong)
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), (SHAPE,), ("text",), patience=EAGER)
    with pytest.raises(TemplateError, match=DIFFERS):
        render(renderer, rows())


@pytest.mark.parametrize("names", [("text",), ("prompt", "completion")])
def test_wrong_code_of_the_machine_stops_the_job(names, monkeypatch):
    real = Code.write_literal
    monkeypatch.setattr(Code, "write_literal", lambda code, text: real(code, text.replace("im_", "em_")))
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), (SHAPE,), names)
    with pytest.raises(TemplateError, match=DIFFERS):
        render(renderer, rows("reasoning"))


def test_wrong_code_stops_a_job_of_pairs(monkeypatch):
    real = Code.write_literal
    monkeypatch.setattr(Code, "write_literal", lambda code, text: real(code, text.replace("im_", "em_")))
    shapes = (ListShape("chosen", {}, {}), ListShape("rejected", {}, {}))
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), shapes, ("prompt", "chosen", "rejected"))
    talks = [row["messages"] for row in rows()]
    with pytest.raises(TemplateError, match=DIFFERS):
        render(renderer, [{"chosen": talk, "rejected": talk} for talk in talks])


def test_difference_shows_both_texts():
    line = "".join(guard.difference(("a" * 100 + "x",), ("a" * 100 + "y",), 3))
    assert "character 100 (row 3 of a chunk)" in line
    assert "x'" in line and "y'" in line
    assert "\n" not in "".join(guard.difference(("a\nb",), ("a\nc",), None))
