"""The template VM of a device against the CPU's machine: it gives a row up, or writes its very bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from forge_gpu.errors import TemplateError
from forge_gpu.kernels.cpu.vm_rows import Machine
from forge_gpu.kernels.layout import Spans
from forge_gpu.kernels.vm_layout import Outcome, VmProgram
from forge_gpu.templates.functions import strftime_of
from forge_gpu.templates.values import ABSENT
from forge_gpu.templates.vm.program import compile_program
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.templates.chat_cases import OTHER_SHAPES, PLAIN_SHAPES, TOOL, conversations
from tests.templates.chat_support import WRITTEN, chat_template
from tests.templates.vm_fuzz import Fuzzer, row
from tests.templates.vm_support import column, compiled

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore:overflow encountered")
BACKENDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
ROOM = 1 << 22


@pytest.fixture(params=BACKENDS)
def device(request: pytest.FixtureRequest) -> Any:
    return open_device(request.param)


def columns_of(rows: Sequence[dict[str, Any]]) -> list[Spans]:
    messages = column([row["messages"] for row in rows], True)
    return [messages, column([row.get("tools", ABSENT) for row in rows], True)]


def texts(device: Any, program: VmProgram, rows: Sequence[dict[str, Any]], room: int = ROOM) -> list[Any]:
    """The text of each row, as the CPU's machine has it; None of one that the device gives up."""
    from forge_gpu.kernels.cuda import vm_rows

    columns, numbers = columns_of(rows), np.arange(len(rows))[::-1].copy()
    written = vm_rows.run_rows(program, columns, numbers, device, room)
    expected = Machine(program).run(columns, numbers)
    left = np.flatnonzero(written.outcome != Outcome.DONE)
    text = vm_rows.together(written, left, columns[0].over(left * 0, left * 0, left.astype(np.uint8)), device)
    data, offsets = device.download(text.data), device.download(text.offsets)
    result: list[Any] = []
    for k in range(len(rows)):
        made = data[offsets[k] : offsets[k + 1]].tobytes()
        if written.outcome[k] != Outcome.DONE:
            assert made == b""
            result.append(None)
            continue
        assert expected.outcome[k] == Outcome.DONE, rows[numbers[k]]
        assert made == expected.text.raw(k), rows[numbers[k]]
        assert written.escaped[k] == (b"\\" in made)
        result.append(made)
    return result[::-1]


@pytest.mark.parametrize("name", list(WRITTEN))
def test_the_templates_of_the_tests(device: Any, name: str) -> None:
    program = compiled(chat_template(WRITTEN[name])).program
    rows = [
        {"messages": messages} | ({"tools": [TOOL]} if number % 2 else {})
        for number, shape in enumerate((*PLAIN_SHAPES, *OTHER_SHAPES))
        for messages in conversations(shape, 1, seed=11)
    ]
    assert sum(text is not None for text in texts(device, program, rows)) > len(rows) // 2


def test_random_templates(device: Any) -> None:
    done = 0
    for seed in range(1000, 1010):
        try:
            program = compiled(chat_template(Fuzzer(seed).template())).program
        except TemplateError:
            continue
        rng = random.Random(seed)
        done += sum(text is not None for text in texts(device, program, [row(rng) for _ in range(3)]))
    assert done > 10


TOOLS = "{% if tools %}{% for t in tools %}{{ t | tojson(indent=2) }}{% endfor %}{{ tools[0].n }}{% endif %}"


def test_tools_of_several_rows_are_made_once(device: Any) -> None:
    """Rows whose tools are the same, the same but for their spelling, and others of the same length."""
    program = compiled(chat_template(TOOLS + "{{ messages[0].content }}")).program
    tools: list[Any] = [[{"n": "a", "p": {"q": [1, 2.5, None]}}], [{"n": "b", "p": {"q": [1, 2.5, None]}}]]
    tools += [json.dumps(tools[0]), '[{"n":"\u00e9"}]', [], ABSENT]
    rows = [
        {"messages": [{"role": "user", "content": f"row {number}"}], "tools": tools[number % len(tools)]}
        for number in range(5 * len(tools))
    ]
    made = texts(device, program, rows)
    assert None not in made
    assert made[0].startswith(b'{\\n  \\"n\\": \\"a\\"') and made[0].endswith(b"arow 0")


def test_roles_are_renamed(device: Any) -> None:
    template = chat_template("{% for m in messages %}{{ m.role }},{% endfor %}")
    renamed = {"human": "user", "bot": "assistant"}
    date = strftime_of(None)
    program = compile_program(template.environment, template.source, template.fixed, renamed, date).program
    messages = [{"role": role, "content": "x"} for role in ("human", "bot", "user", "b", "")]
    assert texts(device, program, [{"messages": messages}]) == [b"user,assistant,user,b,,"]


def test_what_needs_too_much_is_given_up(device: Any) -> None:
    """Long rows and texts, deep ones and loops that go on: each alone, beside one that is done."""
    source = "{% for m in messages %}{% for k in range(m.k or 1) %}{{ m.content }}{% endfor %}{% endfor %}"
    program = compiled(chat_template(source)).program
    deep = json.loads("[" * 40 + "]" * 40)
    cases: list[dict[str, Any]] = [
        {"content": "x" * 70_000},
        {"k": 5000},
        {"k": 200_000, "content": ""},
        {"deep": deep},
    ]
    rows = [{"messages": [{"role": "user", "content": "abc", **case}]} for case in (*cases, {})]
    assert texts(device, program, rows) == [None, None, None, None, b"abc"]
    assert texts(device, program, rows, room=1 << 10) == [None] * 5


def test_texts_at_the_end_of_the_data(device: Any) -> None:
    program = compiled(chat_template("{{ messages[0].content }}")).program
    for size in (0, 1, 7, 8, 63, 200):
        rows = [{"messages": [{"role": "user", "content": "x" * size}]}] * 2
        assert texts(device, program, rows) == [b"x" * size] * 2


@pytest.mark.sim
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
