"""When a template is traced, and when rows are left to Jinja."""

import json
from dataclasses import replace
from typing import Any

from forge_gpu.templates.conversations import ListShape
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.jinja_rows import JinjaRows
from forge_gpu.templates.tracing.compiler import EAGER, Patience
from forge_gpu.templates.tracing.cutover import ALLOWANCE, Cutover
from forge_gpu.templates.tracing.expressions import Join, Leaf, Operation, Predicate, Text, joined, known
from tests.templates.chat_cases import conversations
from tests.templates.chat_support import WRITTEN, chat_template, render

SHAPE = ListShape("messages", {}, {})
A, B = Leaf((0, "content")), Leaf((1, "content"))


def rows(shape, count):
    return [{"messages": talk} for talk in conversations(shape, count, seed=9)]


def test_a_path_is_traced_once_enough_rows_came():
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), (SHAPE,), ("text",))
    renderer.machine = None
    render(renderer, rows("single", 15))
    assert (renderer.counts.compiled, renderer.counts.row_wise) == (0, 15)
    render(renderer, rows("single", 1))
    assert (renderer.counts.compiled, renderer.counts.row_wise) == (1, 15)
    render(renderer, rows("single", 100))
    assert (renderer.counts.compiled, renderer.counts.row_wise) == (101, 15)
    assert renderer.compiler and renderer.compiler.traces == 1


def test_traces_have_a_budget():
    """Fifty paths of two rows each: a trace for each 64 rows, no more."""
    talks = [talk for length in range(1, 51) for talk in [[{"role": "user", "content": "x"}] * length] * 2]
    patience = Patience(rows_before_trace=1, rows_a_trace=64)
    renderer = JinjaRenderer(chat_template(WRITTEN["chatml"]), (SHAPE,), ("text",), patience=patience)
    renderer.machine = None
    render(renderer, [{"messages": talk} for talk in talks])
    assert renderer.compiler and renderer.compiler.traces == 2
    assert renderer.counts.compiled == 4


def test_only_paths_that_rows_take_are_traced():
    renderer = JinjaRenderer(chat_template(WRITTEN["thinking"]), (SHAPE,), ("text",), patience=Patience(0, 0))
    talk = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    render(renderer, [{"messages": talk}] * 50)
    assert renderer.compiler and renderer.compiler.traces == 1


def test_the_order_of_keys_is_a_part_of_the_shape():
    """A template may write messages as JSON: in the order in which each row spells them."""
    template = chat_template("{% for m in messages %}{{ m | tojson }}{% endfor %}")
    renderer = JinjaRenderer(template, (ListShape("messages", {}, {}, "system"),), ("text",), patience=EAGER)
    message = {"role": "user", "content": "x"}
    swapped = dict(reversed(message.items()))
    given: list[dict[str, Any]] = [
        {"messages": talk, "system": system}
        for talk in ([message, message], [swapped, swapped], [message, swapped])
        for system in ("", "s")
    ]
    required = [
        "".join(
            json.dumps(m)
            for m in [{"role": "system", "content": "s"}] * bool(row["system"]) + row["messages"]
        )
        for row in given * 3
    ]
    assert [result["text"] for result in render(renderer, given * 3)] == required
    assert renderer.counts.compiled + renderer.counts.evaluated == len(required)


def test_programs_in_python_are_left_where_they_gain_nothing():
    jinja = JinjaRows(chat_template("{{ messages }}"), False, None)
    cutover = Cutover(jinja)
    assert cutover.programs_pay()
    jinja.seconds, jinja.rows = 1.0, 10
    cutover.program_seconds = ALLOWANCE * 0.9
    assert cutover.programs_pay()
    cutover.program_seconds = ALLOWANCE * 1.1
    assert not cutover.programs_pay()
    cutover.program_rows = 1  # saved a tenth of a second
    assert cutover.programs_pay()


def test_joined_is_the_simplest_form():
    assert joined((Text("a"), Text(""), Text("b"))) == Text("ab")
    assert joined((Join((Text("a"), A)), Text("b"), Text("c"))) == Join((Text("a"), A, Text("bc")))
    assert joined(()) == Text("")


def test_what_is_known_without_a_row():
    text = joined((Text("<a>"), A, Text("\n")))
    assert known(Predicate("truthy", text)) is True
    assert known(Predicate("truthy", A)) is None
    assert known(Predicate("truthy", Operation("tojson", A, (False,)))) is True
    assert known(Predicate("contains", text, (Text("<a>"),))) is True
    assert known(Predicate("contains", text, (Text("x"),))) is None
    assert known(Predicate("starts", text, ("<a",))) is True
    assert known(Predicate("starts", text, ("<b",))) is False
    assert known(Predicate("starts", text, ("<a>b",))) is None
    assert known(Predicate("ends", text, ("x\n",))) is None
    assert known(Predicate("ends", text, ("x",))) is False
    assert known(Predicate("equals", A, (A,))) is True
    assert known(Predicate("equals", A, (B,))) is None
    assert known(Predicate("equals", text, (Text("<a>"),))) is False


def test_a_trace_that_runs_out_of_time_leaves_its_rows_to_jinja():
    """It may end before the place that its row came to: on a busy machine, or in a stopped process."""
    template = chat_template(
        "{% for m in messages %}{% if m.content.startswith('a') %}x{% endif %}"
        "{% if m.content.endswith('b') %}y{% endif %}{{ m.content }}{% endfor %}"
    )
    renderer = JinjaRenderer(template, (SHAPE,), ("text",), patience=EAGER)
    renderer.machine = None
    talk = {text: {"messages": [{"role": "user", "content": text}] * 2} for text in ("abc", "ab", "b")}
    assert render(renderer, [talk["abc"]]) == [{"text": "xabcxabc"}]
    assert renderer.compiler
    environment = renderer.compiler.tracer.environment
    bounds, environment.bounds = environment.bounds, replace(environment.bounds, seconds=-1.0)
    assert render(renderer, [talk["ab"], talk["abc"]]) == [{"text": "xyabxyab"}, {"text": "xabcxabc"}]
    environment.bounds = bounds
    assert render(renderer, list(talk.values())) == [
        {"text": text} for text in ("xabcxabc", "xyabxyab", "ybyb")
    ]
    assert renderer.counts.compiled == 4
