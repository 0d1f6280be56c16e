"""Hostile templates are stopped by bounds, with a clear line."""

import time

import pytest

from forge_gpu.errors import TemplateError
from forge_gpu.templates.bounds import Bounds
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from tests.templates.chat_support import TOKENS

TALK = Conversation([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}])
LOOP = "{{% for i in range(99) %}}{{% set ns.x = {} %}}{{% endfor %}}{{{{ ns.x }}}}"
GROWN = "{{% set ns = namespace(x='aaaa') %}}" + LOOP
BOUNDS = Bounds(seconds=1.0, steps=200_000, size=1 << 20)


def run(source):
    return ChatTemplate(source, TOKENS, {}, "2026-01-02", BOUNDS).render(TALK)


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
        run(source)


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
