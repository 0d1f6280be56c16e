"""Chunks, renderers and Jinja itself, for the tests of chat templates."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from forge_gpu.engine.base import Engine
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.program import pack
from forge_gpu.templates.renderer import Bound, Renderer

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
DATE = "2026-01-02"
WRITTEN: dict[str, str] = YAML(typ="safe").load(Path(__file__).with_name("chat_templates.yaml").read_text())


def all_templates() -> Iterator[tuple[str, str, dict[str, str]]]:
    """(name, source, special tokens): those written for the tests, and those of FORGE_TEMPLATES."""
    for name, source in WRITTEN.items():
        yield name, source, TOKENS
    folder = os.environ.get("FORGE_TEMPLATES")
    if folder:
        known = {entry["file"]: entry for entry in json.loads(Path(folder, "manifest.json").read_text())}
        for path in sorted(Path(folder).glob("*.jinja")):
            entry = known.get(path.name, {})
            tokens = {f"{kind}_token": entry.get(kind) or TOKENS[f"{kind}_token"] for kind in ("bos", "eos")}
            yield path.stem, path.read_text(encoding="utf-8"), tokens


def chat_template(source: str, tokens: dict[str, str] = TOKENS, **variables: object) -> ChatTemplate:
    return ChatTemplate(source, tokens, variables, DATE)


def chunk(rows: Sequence[dict[str, Any]], renderer: Renderer, engine: Engine) -> Records:
    """Rows as lines of JSON, every other one with ASCII escapes."""
    lines = [json.dumps(row, ensure_ascii=bool(number % 2)) for number, row in enumerate(rows)]
    data = np.frombuffer("\n".join(lines).encode(), np.uint8)
    return engine.scan(data, "lines", renderer.columns, 1 << 26)


def render(renderer: Renderer, rows: Sequence[dict[str, Any]], engine: Engine | None = None) -> list[Any]:
    """For each row its fields by name, or (reason, detail)."""
    engine = engine or CpuEngine()
    bound = renderer.bind(chunk(rows, renderer, engine), engine)
    return rendered(renderer, bound, engine)


def rendered(renderer: Renderer, bound: Bound, engine: Engine) -> list[Any]:
    table = pack(bound.programs, bound.message_columns)
    columns = [bound.columns[name] for name in table.columns]
    good = np.flatnonzero(bound.reason == 0)
    results: list[Any] = [(int(why), bound.detail(row)) for row, why in enumerate(bound.reason.tolist())]
    for row in good.tolist():
        results[row] = {}
    for name in renderer.fields:
        encoding = layout.AS_JSON if name in renderer.json_fields else layout.AS_TEXT
        text = engine.render(table, bound.program[name], columns, good, encoding, bound.first)
        for number, row in enumerate(good.tolist()):
            results[row][name] = text.row(number).decode()
    return results
