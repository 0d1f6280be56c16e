"""The template VM against Jinja: no byte may differ, and what it has no code for is Jinja's."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from forge_gpu.errors import TemplateError
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.vm_rows import Machine
from forge_gpu.kernels.layout import Spans, empty_spans
from forge_gpu.kernels.vm_layout import Outcome
from forge_gpu.templates.vm.code import Unsupported
from tests.templates.chat_cases import OTHER_SHAPES, PLAIN_SHAPES, TOOL, conversations
from tests.templates.chat_support import all_templates, chat_template
from tests.templates.vm_fuzz import Fuzzer, row
from tests.templates.vm_support import compare, compiled, run

ROWS = int(os.environ.get("FORGE_TEMPLATE_ROWS", "2"))
FUZZED = int(os.environ.get("FORGE_FUZZED_TEMPLATES", "45"))
CASES = YAML(typ="safe").load(Path(__file__).with_name("vm_templates.yaml").read_text(encoding="utf-8"))
HARD = st.sampled_from("\\\"n\nu01c'\x1f é漢😀")
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), HARD), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def machine_of(source, tokens=None):
    template = chat_template(source, tokens) if tokens else chat_template(source)
    program = compiled(template)
    return template, Machine(program.program), program


def check(source, rows):
    """Rows that the machine must write, as Jinja does."""
    template, machine, program = machine_of(source)
    result = compare(source, template, machine, program, rows)
    assert not result.different, result.different[0]
    assert not result.given_up, result.why


def one(content, **more):
    return {"messages": [{"role": "user", "content": content, **more}]}


def run_text(machine, text):
    """One row whose messages are this JSON text."""
    data = np.frombuffer(text.encode() or b"x", np.uint8)
    length, kind = np.array([len(text.encode())], np.int64), np.array([layout.JSON], np.uint8)
    return machine.run([Spans(data, np.zeros(1, np.int64), length, kind), empty_spans(1)], np.arange(1))


@pytest.mark.parametrize(
    ("source", "tokens"), [pytest.param(source, tokens, id=name) for name, source, tokens in all_templates()]
)
def test_equals_jinja(source, tokens):
    template, machine, program = machine_of(source, tokens)
    rng = random.Random(3)
    for shape in (*PLAIN_SHAPES, *OTHER_SHAPES):
        tools: list[Any] = [None, [TOOL], json.dumps([TOOL, TOOL]), "", []]
        rows = [
            {"messages": messages} | ({"tools": rng.choice(tools)} if number % 3 else {})
            for number, messages in enumerate(conversations(shape, ROWS, seed=5))
        ]
        result = compare(shape, template, machine, program, rows)
        assert not result.different, result.different[0]


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_random_templates():
    """Most rows are written; those that are not are Jinja's, and none differs."""
    equal = given_up = 0
    for seed in range(FUZZED):
        try:
            template, machine, program = machine_of(Fuzzer(seed).template())
        except TemplateError:  # such as `break` in a set block
            continue
        rng = random.Random(seed)
        result = compare(str(seed), template, machine, program, [row(rng) for _ in range(4)])
        assert not result.different, result.different[0]
        equal += result.equal
        given_up += result.given_up
    assert equal > 3 * given_up


@given(TEXT, TEXT, TEXT, st.integers(-9, 9), st.integers(-9, 9))
@settings(deadline=None, max_examples=25)
def test_texts_of_any_characters(text, other, third, start, stop):
    source = (
        "{% set m = messages[0] %}{% set c = m.content %}{{ c | length }}|{{ c[m.i:m.j] }}|{{ c[m.i] }}|"
        "{{ c.strip() }}|{{ c.strip(m.o) }}|{{ c.lstrip(m.o) }}|{{ c.rstrip(m.o) }}|{{ m.o in c }}|"
        "{{ c.startswith(m.o) }}|{{ c.endswith(m.o) }}|{{ c.split() | join('+') }}|{{ c < m.o }}|"
        "{% for x in c %}{{ x }},{% endfor %}|{{ c | tojson }}|{{ c | tojson(ensure_ascii=true) }}|"
        "{{ [c, {'a': m.o}, (c,)] }}|{{ c ~ m.o == m.o ~ c }}"
    )
    given_row = one(text, o=other, t=third, i=start, j=stop)
    check(source, [given_row])
    if other:
        check(
            "{% set m = messages[0] %}{{ m.content.replace(m.o, m.t) }}|{{ m.content.split(m.o) | tojson }}|"
            "{{ m.content.split(m.o, 1) | last }}",
            [given_row, one(text + other + third + other, o=other, t=third)],
        )


@given(VALUES)
@settings(deadline=None, max_examples=25)
def test_any_value_as_json_and_as_python_spells_it(value):
    source = (
        "{% set x = messages[0].x %}{{ x }}|{{ x | tojson }}|{{ x | tojson(indent=2) }}|"
        "{{ x | tojson(separators=(',', ':')) }}|{{ x | tojson(sort_keys=true) }}|{{ x == messages[0].y }}|"
        "{{ x is mapping }}{{ x is iterable }}{{ x is sequence }}{{ not x }}"
    )
    check(source, [one("", x=[value], y=[value]), one("", x=[value], y=[value, 1])])


@pytest.mark.parametrize("number", CASES["numbers"])
def test_numbers_as_python_spells_them(number):
    shown = "{{ n }}|{{ n | tojson }}|{{ [n] }}|{{ n is number }}|{{ n is float }}|{{ not n }}|{{ n == n }}"
    check("{% set n = messages[0].n %}" + shown, [one("", n=json.loads(number))])


@given(st.text(st.sampled_from('0123456789 \n\f\v\x1c+-._eEinfaNt\\"x٣é/\x7f'), max_size=7))
@settings(deadline=None, max_examples=60)
def test_no_text_is_another_integer(text):
    """Those that are spelled as usual are written, and none otherwise than by Jinja."""
    shown = "{{ messages[0].content | int }}|{{ messages[0].content | int(7) }}"
    template, machine, program = machine_of(shown)
    rows = [one(text), *(one(usual) for usual in ("42", " -7\n", "3.9", "x", "", "12 km", "0" * 9 + "1"))]
    result = compare("int", template, machine, program, rows)
    assert not result.different, result.different[0]
    assert result.equal >= 14


def test_letters_of_any_script_in_another_case():
    shown = "{% set c = messages[0].content %}{{ c | lower }}{{ c.upper() }}{{ c | capitalize }}"
    texts = ("Ärger, ÇA va? — d'où ça 漢字😀", "ПРИВЕТ мир", "άλφα-βήτα (γ", "\xa0é")
    check(shown + "{{ c | title }}", [one(text) for text in texts])


@pytest.mark.parametrize("text", [*CASES["no_messages"], '[{"role": "a\nb"}]', "[" * 600 + "]" * 600])
def test_what_is_no_json_or_no_messages_is_jinjas(text):
    _, machine, _ = machine_of("{{ messages | length }}{{ messages[0].n }}")
    assert run_text(machine, text).outcome[0] == Outcome.TO_JINJA


def test_of_a_key_that_comes_twice_the_last_value_counts():
    _, machine, _ = machine_of("{{ messages[0] | tojson }}")
    text = '[{"role": "a", "x": 1, "y": 2, "x": 3, "role": "b", "z": null, "y": null}]'
    assert json.loads(b'"' + run_text(machine, text).text.raw(0) + b'"') == '{"role": "b", "x": 3}'


@pytest.mark.parametrize("source", [*CASES["scopes"], *CASES["operations"]])
def test_scopes_macros_loops_and_operations(source):
    rows = [
        {"messages": [{"role": role, "content": "c"} for role in roles]}
        for roles in (["user"], ["user", "tool", "user"], ["system", "tool"])
    ]
    check(source, rows)


def test_what_the_loop_condition_reads_must_not_change():
    """Jinja asks it between the rounds."""
    source = (
        "{% set ns = namespace(on=true) %}{% for m in messages if ns.on %}{% set ns.on = false %}"
        "{{ m.role }}{% endfor %}"
    )
    messages = [{"role": "a", "content": ""}, {"role": "b", "content": ""}]
    template, machine, program = machine_of(source)
    result = compare(source, template, machine, program, [{"messages": messages}])
    assert result.given_up and not result.different


def test_equal_tools_are_parsed_and_written_once():
    source = (
        "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{{ messages[0].content }}"
    )
    sets = [[{"name": f"f{number}"}] * (number % 4) for number in range(9)]
    rows = [{**one(str(k)), "tools": sets[k % len(sets)]} for k in range(200)]
    rows += [{**one(str(k)), "tools": [{"name": f"own{k}"}]} for k in range(900)]
    check(source, rows)


@pytest.mark.parametrize("source", CASES["hostile"])
def test_hostile_templates_are_given_up_soon(source):
    _, machine, _ = machine_of(source)
    written = run(machine, [one("x")] * 2)
    assert written.outcome.tolist() == [Outcome.TO_JINJA] * 2
    assert machine.nbytes < 1 << 29


def test_a_template_of_several_templates_has_no_code():
    with pytest.raises(Unsupported):
        machine_of("{% block a %}{% endblock %}")


def test_marks_are_where_the_generation_blocks_are():
    source = "{% for m in messages %}é\n{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}"
    _, machine, _ = machine_of(source)
    rows = [{"messages": [{"role": "user", "content": text} for text in ("漢\n", "", "\x01é")]}, one("x")]
    written = run(machine, rows)
    marks = machine.mark_characters(written).tolist()
    assert [place for place, _ in marks] == [2, 4, 7, 7, 10, 12, 2, 3]
    assert [what for _, what in marks] == [1, 0] * 4
    assert written.mark_offsets.tolist() == [0, 6, 8]
