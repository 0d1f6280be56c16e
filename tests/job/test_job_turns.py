"""Whole jobs of conversations: a row for each turn, spans of what is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.errors import ConfigError
from forge_gpu.templates.choose import make_renderer
from tests.job import jobs

THINKING = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.reasoning_content and loop.last %}"
    "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{ m.content }}"
    "{{ '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def say(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def made(tmp_path: Path, source: Path, template: str = THINKING, **output: Any) -> list[dict[str, Any]]:
    config = jobs.plan(
        source,
        data={"mapping": {"shape": "conversation", "messages": "messages"}},
        model={"template_kind": "jinja", "chat_template": template},
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
        output=output,
    )
    result = jobs.run(config, tmp_path / f"out-{source.suffix[1:]}")
    return [json.loads(line) for path in jobs.paths(result) for line in jobs.lines(path)]


def shown(rows: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(row["text"], [row["text"][start:end] for start, end in row["spans"]]) for row in rows]


def test_each_turn_is_a_row_as_at_inference(tmp_path: Path) -> None:
    talk = [
        say("user", "one"),
        say("assistant", "two", reasoning_content="early"),
        say("user", "three"),
        say("assistant", "four", reasoning_content="late"),
        say("user", "five"),
    ]
    source = jobs.write_lines(tmp_path / "in.jsonl", [{"messages": talk}])
    assert shown(made(tmp_path, source, turns="each", spans=True)) == [
        (
            "<|user|>one<|end|>\n<|assistant|><think>early</think>two<|end|>\n",
            ["<think>early</think>two<|end|>"],
        ),
        (
            "<|user|>one<|end|>\n<|assistant|>two<|end|>\n<|user|>three<|end|>\n"
            "<|assistant|><think>late</think>four<|end|>\n",
            ["<think>late</think>four<|end|>"],
        ),
    ]


CALLING = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.reasoning_content and loop.last %}"
    "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}{{ '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def test_turns_of_calls_are_rows_too(tmp_path: Path) -> None:
    """With what the tool gave before the next; a turn that is not trained makes no row."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": None, "b": 1}}}
    talk = [
        say("user", "one"),
        say("assistant", None, tool_calls=[call], reasoning_content="early"),
        say("tool", "gave", name=None),
        say("assistant", "no", train=False),
        say("user", "two"),
        say("assistant", "three", reasoning_content="late", tool_calls=None),
    ]
    source = jobs.write_lines(tmp_path / "in.jsonl", [{"messages": talk}])
    wrote = '<call>{"name": "f", "arguments": {"a": null, "b": 1}}</call><|end|>'
    rows = shown(made(tmp_path, source, CALLING, turns="each", spans=True))
    assert rows == [
        (
            f"<|user|>one<|end|>\n<|assistant|><think>early</think>{wrote}\n",
            [f"<think>early</think>{wrote}"],
        ),
        (
            f"<|user|>one<|end|>\n<|assistant|>{wrote}\n<|tool|>gave<|end|>\n<|assistant|>no<|end|>\n"
            "<|user|>two<|end|>\n<|assistant|><think>late</think>three<|end|>\n",
            ["<think>late</think>three<|end|>"],
        ),
    ]


@pytest.mark.parametrize("key", ["weight", "train", "loss"])
def test_a_message_says_whether_it_is_trained(tmp_path: Path, key: str) -> None:
    first = say("assistant", "two", **{key: 0 if key == "weight" else False})
    talk = [say("user", "one"), first, say("user", "three"), say("assistant", "four", **{key: True})]
    source = jobs.write_lines(tmp_path / "in.jsonl", [{"messages": talk}])
    assert shown(made(tmp_path, source, spans=True))[0][1] == ["four<|end|>"]


def test_other_roles_are_trained_where_the_plan_names_them(tmp_path: Path) -> None:
    source = jobs.write_lines(
        tmp_path / "in.jsonl", [{"messages": [say("user", "one"), say("assistant", "two")]}]
    )
    rows = made(tmp_path, source, spans=True, trained_roles=["user", "assistant"])
    assert shown(rows)[0][1] == ["one<|end|>", "two<|end|>"]


@pytest.mark.parametrize("unknown", ["null", "reject"])
def test_spans_that_are_not_known(tmp_path: Path, unknown: str) -> None:
    joined = (
        "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + m.content %}{% endfor %}"
        "{{ ns.t }}"
    )
    source = jobs.write_lines(
        tmp_path / "in.jsonl", [{"messages": [say("user", "one"), say("assistant", "two")]}]
    )
    rows = made(tmp_path, source, joined, spans=True, unknown_spans=unknown)
    assert rows == ([{"text": "onetwo", "spans": None}] if unknown == "null" else [])


@pytest.mark.parametrize(
    ("mapping", "form"),
    [
        ({"shape": "flat", "query": "q", "response": "r"}, "text"),
        ({"shape": "conversation", "messages": "m"}, "source"),
    ],
)
def test_turns_need_conversations(mapping: dict[str, str], form: str) -> None:
    with pytest.raises(ConfigError, match="turns each"):
        make_renderer(jobs.plan("x.jsonl", data={"mapping": mapping}, output={"turns": "each", "form": form}))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("weight", [0.5, 2])
def test_a_weight_that_labels_cannot_say_is_refused(tmp_path: Path, weight: float, compiled: bool) -> None:
    """Those of messages that are not trained anyway say nothing."""
    answer = say("assistant", "two", weight=weight)
    talks = [[say("user", "one", weight=weight), say("assistant", "two")], [say("user", "one"), answer]]
    source = jobs.write_lines(tmp_path / "in.jsonl", [{"messages": talk} for talk in talks])
    config = jobs.plan(
        source,
        data={"mapping": {"shape": "conversation", "messages": "messages"}},
        model={"chat_template": THINKING, "template_kind": "jinja", "compile": compiled},
        output={"spans": True},
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
    )
    result = jobs.run(config, tmp_path / "out")
    assert result.manifest["rejected"] == {"bad_messages": 1}
    [rejected] = jobs.read_lines(tmp_path / "out" / "rejected.jsonl")
    assert f"message 2 has weight {weight}: a token is trained or it is not" in rejected["detail"]
