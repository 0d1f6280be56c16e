"""Jinja itself, row by row, in the sandboxed environment that chat templates are written for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from benchmarks.work import SPECIAL_TOKENS, facts

VERSIONS = {"jinja2": version("jinja2")}


def render_chat(input: str, template: str) -> Callable[[], Any]:
    compiled = _compiled(template)
    conversations = [orjson.loads(line)["messages"] for line in _lines(input)]

    def work() -> Callable[[], Any]:
        texts = [
            compiled.render(messages=messages, add_generation_prompt=False, **SPECIAL_TOKENS)
            for messages in conversations
        ]
        return lambda: facts(texts)

    return work


def chat_from_json(input: str, template: str) -> Callable[[], Any]:
    compiled, lines = _compiled(template), _lines(input)

    def work() -> Callable[[], Any]:
        texts = [
            compiled.render(
                messages=orjson.loads(line)["messages"], add_generation_prompt=False, **SPECIAL_TOKENS
            )
            for line in lines
        ]
        return lambda: facts(texts)

    return work


def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    return environment.from_string(Path(template).read_text())


def _lines(input: str) -> list[bytes]:
    return Path(input).read_bytes().splitlines()
