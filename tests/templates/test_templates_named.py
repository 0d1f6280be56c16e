"""Templates by name: built-ins over any conversation, those of a plan and those of a user's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.config.layers import Layer, build
from forge_gpu.errors import ConfigError, TemplateError
from forge_gpu.planner.model import read_template
from forge_gpu.planner.template_names import detect
from forge_gpu.templates.builtin import builtins

ENGINE = forge_gpu.open_engine("cpu")
MESSAGES = {"messages": "m"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def talk(*turns: str, system: str | None = None) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system is not None else []
    return {
        "m": messages
        + [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]
    }


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), min_size=1, max_size=5))
def test_one_turn_is_the_format_string_byte_for_byte(pairs: list[tuple[str, str]]) -> None:
    pairs = [(q.replace("\ud800", ""), r) for q, r in pairs]
    for chosen in builtins().values():
        texts = ENGINE.render([talk(*pair) for pair in pairs], chosen.name, mapping=MESSAGES)
        assert texts == [chosen.template.format(query=q, response=r) for q, r in pairs]


EXPECTED = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
    "<|im_start|>assistant\nR<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nr<|im_end|>",
    "llama": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] R </s><s>[INST] q [/INST] r </s>",
    "alpaca": "S\n\n### Instruction:\nQ\n\n### Response:\nR\n\n### Instruction:\nq\n\n### Response:\nr",
    "gemma": "<start_of_turn>user\nS\n\nQ<end_of_turn>\n<start_of_turn>model\nR<end_of_turn>\n"
    "<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\nr<end_of_turn>",
    "vicuna": "S\n\nUSER: Q\nASSISTANT: R\nUSER: q\nASSISTANT: r",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_several_turns_and_a_system_message(name: str) -> None:
    rows = [talk("Q", "R", "q", "r", system="S"), talk("Q"), {"m": talk("Q", "R")["m"], "t": [TOOL]}]
    mapping = {**MESSAGES, "tools": "t"}
    texts = ENGINE.render(rows, name, mapping=mapping)
    assert texts[:2] == [EXPECTED[name], None]
    assert (texts[2] is not None) == (name == "chatml")
    parts = ENGINE.render(rows[:1], name, mapping=MESSAGES, form="prompt_completion")[0]
    assert parts["prompt"] + parts["completion"] == EXPECTED[name] and parts["completion"].startswith("r")
    eos = builtins()[name].eos
    assert ENGINE.render(rows[:1], name, mapping=MESSAGES, append_eos=True) == [EXPECTED[name] + eos]


def test_chatml_writes_calls_and_their_answers() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": [1, "é"]}}}
    rows = [
        {
            "t": [TOOL],
            "m": [
                {"role": "user", "content": "Q"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "9"},
                {"role": "assistant", "content": [{"type": "text", "text": "R"}]},
            ],
        }
    ]
    (text,) = ENGINE.render(rows, "chatml", mapping={**MESSAGES, "tools": "t"})
    assert text.startswith("<|im_start|>system\n# Tools\n\n") and json.dumps(TOOL) in text
    assert '<tool_call>\n{"name": "f", "arguments": {"a": [1, "é"]}}\n</tool_call><|im_end|>\n' in text
    assert text.endswith("<tool_response>\n9\n</tool_response><|im_end|>\n<|im_start|>assistant\nR<|im_end|>")


def test_pictures_are_never_dropped() -> None:
    rows = [{"m": [{"role": "user", "content": [{"type": "image", "image": "x"}]}, *talk("", "R")["m"][1:]]}]
    for name in builtins():
        assert ENGINE.render(rows, name, mapping=MESSAGES) == [None]


def test_a_plan_names_templates_of_its_own() -> None:
    values = {
        "templates": {"mine": "{q} > {a}", "chat": "{% for m in messages %}{{ m.content }}{% endfor %}"}
    }
    config = build([Layer({**values, "model": {"chat_template": "mine"}})]).config
    assert (config.model.chat_template, config.model.template_kind) == ("{q} > {a}", "format")
    config = build([Layer(values), Layer({"model": {"chat_template": "chat"}})]).config
    assert config.model.template_kind == "jinja"
    assert build([Layer({"model": {"chat_template": "vicuna"}})]).config.model.template_kind == "builtin"
    with pytest.raises(ConfigError, match=r"templates\.llama: is a built-in's name"):
        build([Layer({"templates": {"llama": "{q}"}})])


def test_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "forge-gpu" / "templates"
    folder.mkdir(parents=True)
    (folder / "short.txt").write_text("{q} > {a}")
    (folder / "mine.jinja").write_text("{{ messages[0].content }}")
    (folder / "chatml.jinja").write_text("never")
    assert (read_template("short").kind, read_template("mine").kind) == ("format", "jinja")
    assert read_template("chatml").source == "built-in chatml"
    with pytest.raises(TemplateError, match="no template is named 'shirt': did you mean 'short'"):
        read_template("shirt")
    done = _forge(tmp_path, "template", "list")
    assert f"short: {folder / 'short.txt'}" in done and "chatml: <|im_start|>user\\n" in done
    assert "{q} > {a}" in _forge(tmp_path, "template", "show", "short")


@pytest.mark.parametrize(
    ("model", "template"),
    [
        ("microsoft/DialoGPT-medium", "chatml"),
        ("meta-llama/Llama-2-7b", "llama"),
        ("google/gemma-2-2b", "gemma"),
        ("lmsys/vicuna-13b-v1.3", "vicuna"),
        ("tatsu-lab/alpaca-7b-wdiff", "alpaca"),
    ],
)
def test_models_have_the_templates_of_the_design(model: str, template: str, tmp_path: Path) -> None:
    assert detect(model).values["chat_template"] == template
    assert f"template: {template}" in _forge(tmp_path, "template", "detect", model)


def _forge(folder: Path, *arguments: str) -> str:
    code = "from forge_gpu.cli.start import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
