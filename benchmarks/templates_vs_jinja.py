"""Compiled chat templates against Jinja row by row, by how long the contents are.

    python -m benchmarks.templates_vs_jinja [ROWS]

Jinja's time hardly depends on the length of contents, a copy's does: so the ratio is given for several
lengths. One core; CPU seconds; best of five; both start from messages that were parsed before, and both end
with one text a row, compared. Prints a Markdown table.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ours import Parsed
from forge_gpu.config.schema import Config, Data, Mapping, Model
from forge_gpu.kernels.layout import AS_TEXT, Text
from forge_gpu.templates.choose import chat_template, make_renderer
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.program import pack

TEMPLATES = Path(__file__).parent / "templates"
TURNS = 3
LENGTHS = ((40, 80), (80, 240), (150, 450))
"""Mean characters of a user's and of the assistant's content."""
CHUNK_ROWS = 4096
WORDS = ["the", "model", "answers", "a", "question", "about", "data", "with", "care", "here.\n", '"so"']


def conversations(rows: int, user: int, assistant: int) -> list[dict[str, Any]]:
    """Conversations of three turns with contents of about these lengths; a newline or quote in most."""
    rng = random.Random(f"{user} {assistant}")

    def said(role: str, mean: int) -> dict[str, str]:
        count = max(1, round(rng.uniform(0.5, 1.5) * mean / 5.7))
        return {"role": role, "content": " ".join(rng.choices(WORDS, k=count))}

    return [
        {
            "messages": [
                said(*turn) for _ in range(TURNS) for turn in (("user", user), ("assistant", assistant))
            ]
        }
        for _ in range(rows)
    ]


def best(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The least CPU seconds of some runs, and what the last one gave."""
    seconds, result = [], None
    for _ in range(times):
        gc.collect()
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
    return min(seconds), result


def compiled(config: Config, rows: list[dict[str, Any]]) -> Callable[[], list[Text]]:
    """From parsed messages to texts; an engine a chunk, so that texts stay where they are."""
    renderer = make_renderer(config)
    chunks = []
    for first in range(0, len(rows), CHUNK_ROWS):
        lines = "\n".join(json.dumps(row) for row in rows[first : first + CHUNK_ROWS])
        engine = Parsed()
        chunks.append(
            (engine.scan(np.frombuffer(lines.encode(), np.uint8), "lines", renderer.columns, 2**30), engine)
        )

    def work() -> list[Text]:
        texts = []
        for records, engine in chunks:
            bound = renderer.bind(records, engine)
            table = pack(bound.programs, bound.message_columns)
            columns = [bound.columns[name] for name in table.columns]
            every = np.arange(len(records))
            texts.append(engine.render(table, bound.program["text"], columns, every, AS_TEXT, bound.first))
        return texts

    return work


def by_jinja(config: Config, rows: list[dict[str, Any]]) -> Callable[[], list[str]]:
    """The template rendered by Jinja itself, without the bounds that Forge puts to it."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    chat = chat_template(config)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals |= chat.environment.globals
    template = environment.from_string(chat.source)
    variables = [chat.variables(Conversation(row["messages"])) for row in rows]
    return lambda: [template.render(given) for given in variables]


def main(rows: int) -> None:
    print("| template | user, assistant | bytes a row | Jinja, rows/s | Forge, rows/s | ratio |")
    print("|---|---|---|---|---|---|")
    for name in ("chatml", "llama3", "qwen25"):
        for lengths in LENGTHS:
            talks = conversations(rows, *lengths)
            source = (TEMPLATES / f"{name}.jinja").read_text()
            model = Model(template_kind="jinja", chat_template=source, special_tokens={"bos_token": "<s>"})
            config = Config(
                data=Data(mapping=Mapping(shape="conversation", messages="messages")), model=model
            )
            mine, texts = best(compiled(config, talks), 5)
            few = talks[: max(1, rows // 20)]
            theirs, wanted = best(by_jinja(config, few), 5)
            theirs *= rows / len(few)
            found = [text.row(i).decode() for text in texts for i in range(len(text))]
            if found[: len(few)] != wanted:
                raise SystemExit(f"{name}: the texts differ")
            size = sum(map(len, found)) // rows
            speeds = f"{rows / theirs:,.0f} | {rows / mine:,.0f} | {theirs / mine:.0f}×"
            print(f"| {name} | {lengths[0]}, {lengths[1]} | {size} | {speeds} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
