"""Contents that are lists of text parts are compiled like texts, to what Jinja makes of them."""

import json
import random

import numpy as np
import pytest

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.templates.conversations import Conversation, ListShape
from forge_gpu.templates.environment import Refused
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.parts import unfold
from forge_gpu.templates.records import messages_of
from forge_gpu.templates.tracing.compiler import EAGER
from tests.templates.chat_cases import text
from tests.templates.chat_support import WRITTEN, chat_template, render

WITH_PARTS = """
{%- for message in messages %}<|{{ message.role }}|>
{%- if message.content is string %}{{ message.content | trim }}
{%- else %}{% for part in message.content %}{{ loop.index }}:{{ part.text | trim }};{% endfor %}{% endif %}
{%- endfor %}"""
AS_JSON = "{% for message in messages %}{{ message | tojson }}{% endfor %}"


def part(rng):
    return rng.choice(
        [
            {"type": "text", "text": text(rng)},
            {"type": "text", "text": text(rng)},
            {"text": text(rng), "type": "text"},
        ]
    )


def odd_part(rng):
    odd = [{"type": "image", "url": "u"}, {"type": "text"}, {"type": "text", "text": None}, "x", 1, [], {}]
    odd += [{"type": "text", "text": "x", "more": 1}, {"type": "text", "text": ["x"]}]
    return rng.choice(odd)


def content(rng, odd):
    if rng.random() < 0.5:
        return text(rng)
    parts = [part(rng) for _ in range(rng.choice([0, 1, 1, 2, 3] if odd else [1, 1, 2, 3]))]
    return [*parts, odd_part(rng)] if odd and rng.random() < 0.2 else parts


def conversation(rng, odd):
    roles = ["system"] * (rng.random() < 0.3) + ["user", "assistant"] * rng.choice([1, 2])
    talk = [{"role": role, "content": content(rng, odd)} for role in roles]
    return [dict(reversed(message.items())) for message in talk] if rng.random() < 0.3 else talk


def by_jinja(template, row):
    talk = messages_of(row["messages"], {}, {})
    if row["system"]:
        if talk[0]["role"] == "system":
            return "refused"
        talk.insert(0, {"role": "system", "content": row["system"]})
    try:
        return template.render(Conversation(talk))
    except Refused:
        return "refused"


@pytest.mark.parametrize("source", [WITH_PARTS, AS_JSON, WRITTEN["chatml"]], ids=["parts", "json", "chatml"])
@pytest.mark.parametrize("odd", [False, True])
def test_rows_with_parts(source: str, odd: bool) -> None:
    rng = random.Random(f"{source} {odd}")
    rows = [
        {"messages": conversation(rng, odd), "system": rng.choice(["", "", "s"]) if odd else ""}
        for _ in range(300)
    ]
    template = chat_template(source)
    shape = ListShape("messages", {}, {}, system="system")
    renderer = JinjaRenderer(template, (shape,), ("text",), patience=EAGER)
    result = [got["text"] if isinstance(got, dict) else "refused" for got in render(renderer, rows)]
    assert result == [by_jinja(template, row) for row in rows]
    if not odd and source != WRITTEN["chatml"]:  # lists that a template writes as Python does stay with Jinja
        assert renderer.counts.compiled > 150


def test_a_list_unfolds_to_its_parts() -> None:
    first, other = {"type": "text", "text": "a"}, {"text": "b\n", "type": "text"}
    talks = [
        [{"role": "user", "content": [first, first]}, {"role": "assistant", "content": "c"}],
        [{"role": "user", "content": "d"}],
        [{"role": "user", "content": [first]}, {"role": "assistant", "content": [{"type": "image"}]}],
        [{"role": "user", "content": [other]}],
        [{"role": "user", "content": [first, other]}],
    ]
    engine = CpuEngine()
    lines = "\n".join(json.dumps({"messages": talk}) for talk in talks).encode()
    records = engine.scan(np.frombuffer(lines, np.uint8), "lines", ("messages",), 1 << 20)
    result = engine.messages(records.columns["messages"], ("user", "assistant"), "role", "content")
    texts, style, rows = unfold(result, engine)
    assert rows.tolist() == [True, False, False, True, False]
    assert texts.first.tolist() == [0, 3, 4, 6, 7, 8]
    assert texts.role.tolist() == [0, 0, 1, 0, 0, 1, 0, 0]
    assert style.tolist() == [1, 3, 0, 0, 0, 0, 2, 0]
    assert [texts.content.raw(i) for i in (0, 1, 2, 3, 6)] == [b"a", b"a", b"c", b"d", b"b\\n"]
