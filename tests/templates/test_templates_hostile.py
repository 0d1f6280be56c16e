"""Hostile templates are stopped by bounds, with a clear line."""

import time
from dataclasses import replace

import pytest

from forge_gpu.errors import TemplateError
from forge_gpu.templates import process
from forge_gpu.templates.bounds import BoundedEnvironment, Bounds
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.rendering import Rendering
from forge_gpu.templates.small import Beyond
from forge_gpu.templates.turns.rounds import TurnMarks
from tests.templates.chat_support import TOKENS, WRITTEN

TALK = Conversation([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}])
LOOP = "{{% for i in range(99) %}}{{% set ns.x = {} %}}{{% endfor %}}{{{{ ns.x }}}}"
GROWN = "{{% set ns = namespace(x='aaaa') %}}" + LOOP
NESTED = (
    "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}"
    "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
)
BOUNDS = Bounds(seconds=1.0, steps=200_000, size=1 << 20, memory=512 * 2**20)


def run(source, bounds=BOUNDS):
    return ChatTemplate(source, TOKENS, {}, "2026-01-02", bounds).render(TALK)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
    ],
)
def test_endless_work(source):
    began = time.monotonic()
    with pytest.raises(TemplateError, match="for one row"):
        run(source)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**10 }}",
        "{{ 10**10 * 'a' }}",
        "{{ [0] * 10**9 }}",
        "{{ 9 ** (9 ** 9) }}",
        GROWN.format("ns.x + ns.x"),
        GROWN.format("ns.x ~ ns.x"),
        GROWN.format("ns.x | replace('a', ns.x)"),
        "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 1000000000) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ 'a'.ljust(10**9) }}",
        "{{ 'a'.zfill(10**9) }}",
        "{{ 'a\t'.expandtabs(10**9) }}",
        "{{ 'a' | center(10**9) }}",
        "{{ 'a' | indent(10**9, true) }}",
        "{{ ('a' * 100000).join(['b'] * 100000) }}",
        "{{ (['b'] * 100000) | join('a' * 100000) }}",
        "{{ [1] | batch(10**9, 0) | list }}",
    ],
)
def test_huge_output(source):
    with pytest.raises(TemplateError, match="more than 1048576"):
        run(source, replace(BOUNDS, seconds=20.0))


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ messages.append(1) }}",
        "{{ (messages | map(attribute='__class__') | list)[0].mro() }}",
        "{% import 'os' as os %}{{ os }}",
        "{% include '/etc/passwd' %}",
        "{{ range(10**9) | list }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_what_no_template_may(source):
    with pytest.raises(Refused) as refused:
        run(source)
    assert str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("{{ 3**90000000 % 7 }}", "more than"),
        ("{% for i in range(9) %}{{ 3.5 | round(30000000, 'ceil') }}{% endfor %}", "more than 1 s"),
        ("{{ ((range(99999) | map('string') | list) * 9) | sort | pprint | length }}", "more than"),
        ("{{ messages | tojson(indent=2000000000) }}", "more than (512 MiB|1 s)"),
        (
            "{{ strftime_now('%900000000d') * 9 }}{{ ('é' * 999999) | upper | list | tojson }}",
            "more than",
        ),
        (NESTED + "{{ ns.x }}", "more than"),
        (NESTED + "{{ ns.x == ns.y }}", "more than"),
        ("{% for i in range(99999) if -1 in range(99999) | list %}{% endfor %}", "more than 1 s"),
        ("{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('aaaa') }}", "more than 1048576"),
        ("{% for i in range(1023) %}{{ ('a' * 1000000) | upper | wordcount }}{% endfor %}", "more than"),
    ],
)
def test_one_operation_ends_within_its_bounds(source, bound, monkeypatch):
    """Whatever holds the interpreter's lock: another process is ended. Its start is not counted."""
    taken, ask = [], process._Process.ask

    def timed(asked, request, seconds):
        began = time.monotonic()
        try:
            return ask(asked, request, seconds)
        finally:
            taken.append(time.monotonic() - began)

    monkeypatch.setattr(process._Process, "ask", timed)
    with pytest.raises(TemplateError, match=bound):
        run(source)
    assert max(taken, default=0) < 1.5 * BOUNDS.seconds


def test_what_may_take_long_goes_to_another_process_and_is_right():
    for source in (
        "{{ '%5d' | format(3) }}|{{ [3, 1, 2] | sort }}|{{ 2 ** 70 % 7 }}|{{ messages | length }}",
        "{% for m in messages %}{{ m.content | center(9) }}{% endfor %}{{ messages[0] | pprint }}",
        "{% set ns = namespace(x=[1]) %}{% set ns.x = [namespace(y=1)] %}{{ ns.x | length }}é\U0001f600",
    ):
        template = ChatTemplate(source, TOKENS, {}, "2026-01-02")
        with pytest.raises(Beyond):
            template.here.render(template.variables(TALK))
        there = Rendering(source, "2026-01-02", Bounds(), BoundedEnvironment, TurnMarks)
        assert template.render(TALK) == there.render(template.variables(TALK))
        assert template.written(TALK).text == template.render_spans(TALK)[0] == template.render(TALK)


def test_refusals_of_the_other_process_are_those_of_the_template():
    with pytest.raises(Refused, match="no such thing"):
        run("{{ 2 ** 5000 % 7 }}{{ raise_exception('no such thing') }}")


def test_usual_templates_start_no_process(monkeypatch):
    monkeypatch.setattr(process, "_process", lambda: pytest.fail("a process was started"))
    for source in WRITTEN.values():
        template = ChatTemplate(source, TOKENS, {}, "2026-01-02")
        for rendered in (template.render, template.render_spans, template.written):
            try:
                rendered(TALK)
            except Refused:
                continue


def test_random_text_is_refused():
    for source in ("{{ lipsum() }}", "{{ [1, 2, 3] | random }}"):
        with pytest.raises(TemplateError, match="random"):
            run(source)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("\n{% for a in b %}", "line 2"),
        ("{{ a | nofilter }}", "No filter named 'nofilter'"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "does not compile"),
    ],
)
def test_source_that_is_no_template(source, line):
    with pytest.raises(TemplateError, match=line):
        run(source)


def test_bounds_leave_ordinary_text_alone():
    assert run("{{ '{:>5}|%3d'.format(1) % 2 }}{{ 'a' * 3 }}{{ 'ab' | center(6) }}") == "    1|  2aaa  ab  "
