"""Rows that are left to Jinja: rendered once, and by other processes where threads would wait for others."""

import pytest

from forge_gpu.templates import crowd, jinja_rows, process
from forge_gpu.templates.environment import Refused
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.once import Once
from tests.templates.chat_cases import PLAIN_SHAPES, conversations
from tests.templates.chat_support import TOKENS, WRITTEN, chat_template, render
from tests.templates.differential import SHAPE

SOURCE = (
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('no such thing') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
ROWS = [
    {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "é"}]}
    for content in ("a", "b", "no", "\U0001f600", "1")
]


@pytest.mark.parametrize("fields", [("text",), ("text", "spans"), ("prompt", "completion")])
def test_a_row_is_rendered_once_for_all_passes(monkeypatch, fields):
    monkeypatch.setattr(jinja_rows, "SLOW_SECONDS", 0.0)
    renderer = JinjaRenderer(chat_template(SOURCE), (SHAPE,), fields, compiled=False)
    first = render(renderer, ROWS[:1])  # what shows that rows are slow
    first += render(renderer, ROWS[1:])
    again = render(renderer, ROWS[:1])
    monkeypatch.setattr(jinja_rows, "render_fields", lambda *given: pytest.fail("rendered again"))
    again += render(renderer, ROWS[1:])
    assert again == first
    assert "no such thing" in str(first[2])
    assert renderer.counts.row_wise == 2 * (len(ROWS) - 1)


def test_other_variables_are_other_rows(monkeypatch):
    monkeypatch.setattr(jinja_rows, "SLOW_SECONDS", 0.0)
    texts = []
    for said in ("x", "y"):
        template = chat_template("{{ said }}{{ messages[0].content }}", TOKENS, said=said)
        renderer = JinjaRenderer(template, (SHAPE,), ("text",), compiled=False)
        texts += [render(renderer, rows)[-1]["text"] for rows in (ROWS[:1], ROWS[:1])]
    assert texts == ["xa", "xa", "ya", "ya"]


def test_what_has_no_room_is_not_noted():
    rows = Once(most_bytes=1 << 16)
    for number in range(20):
        rows.put(b"%d" % number, ["x" * 8000])
    assert rows.get(b"0") in (None, ["x" * 8000])
    assert rows.get(b"19") is None


def test_a_crowd_lets_other_processes_render_and_texts_stay(monkeypatch):
    asked = []
    ask = process._Process.ask

    def noted(*given):
        asked.append(1)
        return ask(*given)

    monkeypatch.setattr(process._Process, "ask", noted)
    monkeypatch.setattr(crowd, "ROWS", 0)
    monkeypatch.setattr(crowd, "SECONDS_A_ROW", -1.0)
    rows = [{"messages": talk} for shape in PLAIN_SHAPES for talk in conversations(shape, 1, seed=7)]
    for source in (SOURCE, WRITTEN["default_system_and_tools"]):
        for row in rows[:3]:
            conversation = SHAPE.conversation(_Held(row))
            for action in ("render", "render_spans", "written"):
                template = chat_template(source)
                alone = _result(template, action, conversation)
                asked.clear()
                with crowd.Crowd(False):  # another thread is at it
                    assert _result(template, action, conversation) == alone
                assert asked


def test_variables_that_are_no_json_stay_here(monkeypatch):
    monkeypatch.setattr(crowd, "ROWS", 0)
    monkeypatch.setattr(process, "_process", lambda: pytest.fail("a process was started"))
    template = chat_template("{{ 1 }}", TOKENS, d={1, 2})
    with crowd.Crowd(False):
        assert template.render(SHAPE.conversation(_Held(ROWS[0]))) == "1"


class _Held:
    def __init__(self, row):
        self.row = row

    def value(self, column):
        return self.row.get(column)

    def text(self, column):
        return str(self.row.get(column) or "")


def _result(template, action, conversation):
    try:
        return getattr(template, action)(conversation)
    except Refused as refused:
        return str(refused)
