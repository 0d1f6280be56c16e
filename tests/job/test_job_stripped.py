"""Texts without the tokens that a template puts around them: what goes is what the template wrote alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.config.rules import broken
from forge_gpu.errors import ConfigError
from forge_gpu.job.output.result import Result
from tests.job import jobs

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}\n"
)


def rows(count: int) -> list[dict[str, Any]]:
    made = []
    for number in range(count):
        answer = ["yes", "</s>", "a </s>\n", "<s>"][number % 4]
        messages = [{"role": "user", "content": f"<s>{number}"}, {"role": "assistant", "content": answer}]
        if number % 3 == 0:  # no program writes these
            messages[0]["name"] = "me"
        made.append({"messages": messages})
    return made


def written(tmp_path: Path, form: str, compiled: bool, **output: str) -> list[dict[str, str]]:
    result = run(tmp_path, form, compiled, **output)
    return [json.loads(line) for line in (result.output / "train.jsonl").open()]


def run(tmp_path: Path, form: str, compiled: bool, **output: str) -> Result:
    config = jobs.plan(
        jobs.write_lines(tmp_path / "rows.jsonl", rows(120)),
        data={"mapping": {"shape": "conversation", "messages": "messages"}},
        model={
            "chat_template": TEMPLATE, "template_kind": "jinja", "special_tokens": SPECIAL,
            "compile": compiled,
        },
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
        output={"form": form, **output},
    )  # fmt: skip
    return jobs.run(config, tmp_path / f"{form} {compiled} {len(output)}")


@pytest.mark.parametrize("form", ["text", "prompt_completion"])
def test_what_a_template_wrote_around_a_text_goes(form: str, tmp_path: Path) -> None:
    kept = written(tmp_path, form, True)
    first, last = ("text", "text") if form == "text" else ("prompt", "completion")
    for row in kept:
        row[first] = row[first].removeprefix("<s>")
        row[last] = row[last].rstrip().removesuffix("</s>")
    assert len(kept) == 120
    assert written(tmp_path, form, True, bos="strip", eos="strip") == kept
    assert written(tmp_path, form, False, bos="strip", eos="strip") == kept


def test_a_token_that_no_template_wrote_stays(tmp_path: Path) -> None:
    config = jobs.plan(
        jobs.write_lines(
            tmp_path / "rows.jsonl", [{"instruction": "<s>q", "output": f"{n}</s>"} for n in range(9)]
        ),
        model={
            "chat_template": "{instruction}|{output}",
            "template_kind": "format",
            "special_tokens": SPECIAL,
        },
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
        output={"bos": "strip", "eos": "strip"},
    )
    result = jobs.run(config, tmp_path / "out")
    texts = [json.loads(line)["text"] for line in (result.output / "train.jsonl").open()]
    assert texts == [f"<s>q|{number}</s>" for number in range(9)]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"form": "messages", "bos": "strip"}, "output.form is messages"),
        ({"form": "tokens", "eos": "strip"}, "output.form is tokens"),
        ({"bos": "strip", "spans": True}, "output.spans"),
    ],
)
def test_what_does_not_go_with_it_is_said(output: dict[str, Any], said: str) -> None:
    assert any(said in fault for _, fault in broken(jobs.plan(output=output), ()))


def test_a_token_that_no_plan_names_is_asked_for(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(3))
    with pytest.raises(ConfigError, match=r"needs model\.special_tokens\.bos_token"):
        jobs.run(jobs.plan(source, output={"bos": "strip"}), tmp_path / "out")


@pytest.mark.parametrize("form", ["text", "prompt_completion"])
def test_the_manifest_says_what_texts_have(form: str, tmp_path: Path) -> None:
    """A row's own answer may end with EOS, so a text may have it though the template's was stripped."""
    said = run(tmp_path, form, True).manifest["special_tokens"]
    assert said == {
        "bos": {"token": "<s>", "in_texts": True, "stripped": False},
        "eos": {"token": "</s>", "in_texts": True, "stripped": False},
    }
    said = run(tmp_path, form, True, bos="strip", eos="strip").manifest["special_tokens"]
    assert [entry["in_texts"] for entry in said.values()] == [False, False]
    assert all(entry["stripped"] for entry in said.values())
    assert "special_tokens" not in run(tmp_path, "messages", True).manifest
