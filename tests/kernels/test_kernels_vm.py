"""The kernel of the template VM against its plain-Python reference: what each row becomes, and its text."""

import json
import random

import numpy as np
import pytest

from forge_gpu.errors import TemplateError
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.vm_rows import Machine, same_texts
from forge_gpu.kernels.layout import Spans
from forge_gpu.kernels.reference.vm_run import run as run_reference
from forge_gpu.kernels.reference.vm_values import Raised, ToJinja
from forge_gpu.kernels.vm_layout import Outcome, Variable
from forge_gpu.templates.functions import strftime_of
from forge_gpu.templates.values import ABSENT
from forge_gpu.templates.vm.program import compile_program
from tests.templates.chat_cases import OTHER_SHAPES, PLAIN_SHAPES, TOOL, conversations
from tests.templates.chat_support import WRITTEN, chat_template
from tests.templates.vm_fuzz import Fuzzer, row
from tests.templates.vm_support import compiled, run

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning")


def by_reference(program, given):
    texts = {
        variable: None if value is ABSENT else json.dumps(value).encode()
        for variable, value in (
            (program.variables[0][0], given["messages"]),
            (Variable.TOOLS, given.get("tools", ABSENT)),
        )
    }
    try:
        return run_reference(program, texts)
    except ToJinja:
        return Outcome.TO_JINJA, []
    except Raised:
        return Outcome.RAISED, []


def check(program, rows):
    machine = Machine(program)
    written = run(machine, rows, ascii_escapes=True)
    marks = machine.mark_characters(written).tolist() if len(rows) else []
    for number, given in enumerate(rows):
        text, expected_marks = by_reference(program, given)
        outcome = Outcome(written.outcome[number])
        result = json.loads(b'"' + written.text.raw(number) + b'"') if outcome == Outcome.DONE else outcome
        assert result == text, given
        own = marks[written.mark_offsets[number] : written.mark_offsets[number + 1]]
        assert list(map(tuple, own)) == expected_marks


@pytest.mark.parametrize("name", list(WRITTEN))
def test_the_templates_of_the_tests(name):
    program = compiled(chat_template(WRITTEN[name])).program
    for shape in (*PLAIN_SHAPES, *OTHER_SHAPES):
        rows = [
            {"messages": messages} | ({"tools": [TOOL]} if number % 2 else {})
            for number, messages in enumerate(conversations(shape, 3, seed=11))
        ]
        check(program, rows)


@pytest.mark.parametrize("part", range(3))
def test_random_templates(part):
    for seed in range(1000 + 25 * part, 1025 + 25 * part):
        try:
            program = compiled(chat_template(Fuzzer(seed).template())).program
        except TemplateError:
            continue
        rng = random.Random(seed)
        check(program, [row(rng) for _ in range(4)])


def test_the_prompt_is_what_comes_before_the_assistants_answer():
    template = chat_template(WRITTEN["chatml"])
    date = strftime_of(None)
    fixed = {**template.fixed, "add_generation_prompt": True}
    program = compile_program(template.environment, template.source, fixed, {}, date, Variable.PROMPT).program
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    check(program, [{"messages": turns}, {"messages": turns[:1]}, {"messages": turns * 2}])


def test_roles_are_renamed():
    template = chat_template("{% for m in messages %}{{ m.role }},{% endfor %}")
    renamed = {"human": "user", "bot": "assistant"}
    program = compile_program(
        template.environment, template.source, template.fixed, renamed, strftime_of(None)
    ).program
    messages = [{"role": role, "content": "x"} for role in ("human", "bot", "user", "b", "")]
    check(program, [{"messages": messages}])


@pytest.mark.parametrize("case", ["lower", "upper", "capitalize", "title"])
def test_the_case_of_code_points(case):
    program = compiled(chat_template("{{ messages[0].content | " + case + " }}")).program
    odd = [0x3A3, 0xDF, 0x130, 0x131, 0x149, 0x1C5, 0x10FFFF]
    codes = [*odd, *range(0x80, 0x850, 3), *range(0x850, 0xD800, 97), *range(0x10000, 0x20100, 97)]
    check(program, [one(f"a{chr(code)}b {chr(code)}") for code in codes])


@pytest.mark.parametrize("part", range(2))
def test_texts_as_integers(part):
    rng = random.Random(part)
    used = '0123456789 \n\f\v+-._eExnif\\"é\x7f٣'
    texts = ["".join(rng.choices(used, k=rng.randrange(6))) for _ in range(300)]
    texts += ["9" * size + end for size in (15, 18, 19, 20) for end in ("", ".", ".5", " ")]
    program = compiled(chat_template("{{ messages[0].content | int(-1) }}")).program
    check(program, [one(text) for text in texts])


def one(content):
    return {"messages": [{"role": "user", "content": content}]}


def texts_of(values):
    data = b"".join(values)
    length = np.array([len(value) for value in values], np.int64)
    kind = np.full(len(values), layout.CLEAN, np.uint8)
    return Spans(np.frombuffer(data or b"x", np.uint8), np.cumsum(length) - length, length, kind)


def test_beginnings_of_texts():
    ones = [b"", b"abcdefghijkl", b"abcdefghijkl", b"abcdefghijkl", b"ab"]
    others = [b"", b"abcdefghi", b"abcdefghX", b"abcdefghijkl", b"abc"]
    one, other = texts_of(ones), texts_of(others)
    begins = [a.startswith(b) for a, b in zip(ones, others, strict=True)]
    assert same_texts(one, other, False).tolist() == begins
    assert same_texts(one, other, True).tolist() == [a == b for a, b in zip(ones, others, strict=True)]


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 200])
def test_texts_at_the_end_of_the_data(size):
    """Nothing past the data is read: the last row is copied first."""
    text = json.dumps([{"role": "user", "content": "x" * size}]).encode()
    data = np.frombuffer(text * 3, np.uint8)
    length = np.full(3, len(text), np.int64)
    column = Spans(data, np.arange(3) * len(text), length, np.full(3, layout.JSON, np.uint8))
    machine = Machine(compiled(chat_template("{{ messages[0].content }}")).program)
    none = Spans(data, length * 0, length * 0, np.zeros(3, np.uint8))
    written = machine.run([column, none], np.arange(3))
    assert [written.text.raw(k) for k in range(3)] == [b"x" * size] * 3


def test_rows_that_need_more_room_get_it():
    source = "{% for m in messages %}{% for x in range(40) %}{{ m.content | upper }}{% endfor %}{% endfor %}"
    template = chat_template(source)
    rows = [{"messages": [{"role": "user", "content": "abc\n" * count}]} for count in (1, 50_000, 3, 100_000)]
    written = run(Machine(compiled(template).program), rows)
    for number, given in enumerate(rows):
        content = given["messages"][0]["content"]
        assert json.loads(b'"' + written.text.raw(number) + b'"') == content.upper() * 40
