"""Compiled chat templates against Jinja on what agents are trained on: tools, calls, arguments, reasoning.

    python -m benchmarks.agents_vs_jinja [ROWS] NAME=FILE.jinja ...

Step: bind and render of rows that were scanned before, to plain text, against `render` of a bare sandboxed
environment on rows that were parsed before; half of the rows, of which there are 100,000 unless ROWS says
otherwise. Job: `prepare` of a file of all rows, one thread, checks, dedup and verify off, against a loop of
json.loads, render, json.dumps and write. One core, CPU seconds, of steps the less of two, after a run that
warms up; every text that Jinja writes in a step is compared. Jinja has the first 500 rows. Of more than
10,000 rows the others are the first with other names of arguments and of what they call. Prints a Markdown
table. Its last columns are what bounds a step: bytes read and written a row, µs of reading alone (by a
template that writes nothing, so that the rows are read and parsed) and of copying the texts to the output;
what is left of a step is the template's own code.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.kernels import layout
from forge_gpu.library import prepare
from forge_gpu.templates.conversations import ListShape
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.final_message import as_given
from forge_gpu.templates.functions import OPTIONS, install, to_json
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.program import pack

ROWS, OWN_ROWS, JINJA_ROWS, ROUNDS, CHUNK = 100_000, 10_000, 500, 2, 5000
WORDS = [
    "the",
    "of",
    "weather",
    "flight",
    "please",
    "search",
    "result",
    "data",
    "model",
    "error",
    "user",
    "city",
]
CHECKS = "empty too_short too_long mojibake replacement_character control_character repetition control_tokens"
PLAN: dict[str, Any] = {
    "version": 1,
    "preprocessing": {
        "dedup": {"exact": False},
        "quality_checks": dict.fromkeys(CHECKS.split(), "off"),
        "train_split": 1.0,
        "validation_split": 0.0,
        "test_split": 0.0,
    },
    "output": {"form": "text", "format": "jsonl", "verify": False},
}
SILENT = "{% for message in messages %}{% if message.nothing %}x{% endif %}{% endfor %}"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
Row = dict[str, Any]


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)) + rng.choice(["", ".", "\n", ' "so"'])


def tools(rng: random.Random) -> list[Row]:
    """Six tools; the same for all rows."""
    parameter = {"type": "string", "description": text(rng, 6)}
    parameters = {"type": "object", "properties": {"p0": parameter, "p1": parameter}, "required": ["p0"]}
    return [
        {
            "type": "function",
            "function": {"name": f"tool_{k}", "description": text(rng, 12), "parameters": parameters},
        }
        for k in range(6)
    ]


def call(rng: random.Random) -> Row:
    """A call with an integer, and an argument that hardly any other has in half of them."""
    arguments: Row = {"p0": text(rng, 3), "p1": text(rng, 2), "p2": rng.randrange(10**6)}
    if rng.random() < 0.5:
        arguments[f"key_{rng.randrange(10**6)}"] = rng.choice(
            [rng.randrange(10**9), 1.5, True, None, [1, {"a": 2}]]
        )
    function = {"name": f"tool_{rng.randrange(6)}", "arguments": arguments}
    return {"id": f"call{rng.randrange(10**5):05d}", "type": "function", "function": function}


def trajectory(rng: random.Random, most: int, reasoning: bool, given: list[Row]) -> Row:
    messages = [{"role": "system", "content": text(rng, 30)}, {"role": "user", "content": text(rng, 20)}]
    for _ in range(rng.randint(1, most)):
        made = call(rng)
        answer: Row = {
            "role": "assistant",
            "content": "" if reasoning else text(rng, 10),
            "tool_calls": [made],
        }
        if reasoning:
            answer["reasoning_content"] = text(rng, 40)
        name = made["function"]["name"]
        messages += [
            answer,
            {"role": "tool", "tool_call_id": made["id"], "name": name, "content": text(rng, 60)},
        ]
    return {"messages": [*messages, {"role": "assistant", "content": text(rng, 40)}], "tools": given}


def chat(rng: random.Random, given: list[Row]) -> Row:
    turns = (("user", 15), ("assistant", 40)) * 3
    return {"messages": [{"role": role, "content": text(rng, words)} for role, words in turns]}


def reasoned(rng: random.Random, given: list[Row]) -> Row:
    answer = {"role": "assistant", "content": text(rng, 60), "reasoning_content": text(rng, 200)}
    return {"messages": [{"role": "user", "content": text(rng, 30)}, answer]}


KINDS: dict[str, Callable[[random.Random, list[Row]], Row]] = {
    "chat": chat,
    "one call": lambda rng, given: trajectory(rng, 1, False, given),
    "1–8 calls": lambda rng, given: trajectory(rng, 8, False, given),
    "reasoning": reasoned,
    "1–8 calls, reasoning": lambda rng, given: trajectory(rng, 8, True, given),
}


def rows_of(kind: str, count: int) -> Iterator[Row]:
    rng = random.Random(kind)
    given = tools(rng)
    for _ in range(count):
        yield KINDS[kind](rng, given)


def lines_of(rows: list[Row], count: int) -> Iterator[str]:
    """`count` lines of JSON."""
    lines = [json.dumps(row) for row in rows]
    for number in range(count):
        again, place = divmod(number, len(lines))
        line = lines[place]
        yield line.replace('"key_', f'"key_{again}_').replace('"call', f'"call{again}') if again else line


def least(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, Any]:
    """(CPU seconds of the fastest of some runs, what the last gave)."""
    best, result = float("inf"), None
    for _ in range(rounds):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


@dataclass
class Step:
    """texts: the first. written: bytes of all. copying: CPU seconds of the copy to the output."""

    texts: list[bytes] = field(default_factory=list)
    written: int = 0
    copying: float = 0.0


def forge(renderer: JinjaRenderer, chunks: list[Any], engines: list[CpuEngine]) -> Step:
    """Bind and render of scanned chunks."""
    step = Step()
    for records, engine in zip(chunks, engines, strict=True):
        bound = renderer.bind(records, engine)
        table = pack(bound.programs, bound.message_columns)
        columns = [bound.columns[name] for name in table.columns]
        rows = np.flatnonzero(bound.reason == 0)
        began = time.process_time()
        result = engine.render(table, bound.program["text"], columns, rows, layout.AS_TEXT, bound.first)
        step.copying += time.process_time() - began
        step.written += int(result.offsets[-1])
        if len(rows) < len(records):
            raise ValueError("the template refuses such rows")
        step.texts = step.texts or [result.row(k) for k in range(JINJA_ROWS)]
    return step


def measure(name: str, source: str, kind: str, count: int) -> str:
    template = ChatTemplate(source, TOKENS, {}, "2026-01-02")
    renderer, silent = renderer_of(template), renderer_of(ChatTemplate(SILENT, TOKENS, {}, "2026-01-02"))
    rows = list(rows_of(kind, min(count, OWN_ROWS)))
    lines = list(lines_of(rows, count))
    of_step = max(count // 2, JINJA_ROWS)
    parts = ["\n".join(lines[at : min(at + CHUNK, of_step)]).encode() for at in range(0, of_step, CHUNK)]
    engines = [CpuEngine() for _ in parts]
    chunks = [
        engine.scan(np.frombuffer(part, np.uint8), "lines", renderer.columns, 1 << 26)
        for engine, part in zip(engines, parts, strict=True)
    ]
    for warmed in (renderer, silent):
        forge(warmed, chunks, engines)
    reading, _ = least(lambda: forge(silent, chunks, engines))
    ours, step = least(lambda: forge(renderer, chunks, engines))
    given = [{**template.fixed, **row, "messages": as_given(row["messages"])} for row in rows[:JINJA_ROWS]]
    bare = bare_template(template, source)
    theirs, texts = least(lambda: [bare.render(variables) for variables in given])
    different = sum(expected.encode() != result for expected, result in zip(texts, step.texts, strict=True))
    a_row, their_row = ours / of_step * 1e6, theirs / len(given) * 1e6
    our_job, their_job = job(source, bare, template.fixed, lines)
    return (
        f"| {name} | {kind} | {sum(map(len, lines)) // count} | {their_row:.0f} | {a_row:.1f} | "
        f"{their_row / a_row:.0f}× | {their_job:.0f} | {our_job:.1f} | {their_job / our_job:.0f}× | "
        f"{renderer.counts.row_wise} | {different} | {sum(map(len, parts)) // of_step}, "
        f"{step.written // of_step} | {reading / of_step * 1e6:.1f} | {step.copying / of_step * 1e6:.1f} |"
    )


def renderer_of(template: ChatTemplate) -> JinjaRenderer:
    return JinjaRenderer(template, (ListShape("messages", {}, {}, tools="tools"),), ("text",))


def job(source: str, bare: Any, fixed: dict[str, object], lines: list[str]) -> tuple[float, float]:
    """µs a row of a whole job, ours and that of a loop in Python."""
    model = {
        "chat_template": source,
        "template_kind": "jinja",
        "special_tokens": TOKENS,
        "date": "2026-01-02",
    }
    mapping = {"shape": "conversation", "messages": "messages", "tools": "tools"}
    with tempfile.TemporaryDirectory() as folder:
        data, plan, output = (Path(folder, name) for name in ("rows.jsonl", "forge.yaml", "prepared"))
        data.write_text("\n".join(lines) + "\n", encoding="utf-8")
        config = {**PLAN, "model": model, "data": {"inputs": [str(data)], "mapping": mapping}}
        plan.write_text(json.dumps(config), encoding="utf-8")
        prepare(plan, output=output, threads=1, fresh=True, limit=CHUNK)
        ours, _ = least(lambda: prepare(plan, output=output, threads=1, fresh=True), 1)
        theirs, _ = least(lambda: loop(bare, fixed, lines[:JINJA_ROWS], Path(folder, "loop.jsonl")))
    return ours / len(lines) * 1e6, theirs / min(len(lines), JINJA_ROWS) * 1e6


def loop(bare: Any, fixed: dict[str, object], lines: list[str], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            row = json.loads(line)
            text = bare.render({**fixed, **row, "messages": as_given(row["messages"])})
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


def bare_template(template: ChatTemplate, source: str) -> Any:
    """The template in an environment without Forge's bounds, as `apply_chat_template` has it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(**OPTIONS)
    environment.filters["tojson"] = to_json
    install(environment.globals, template.date)
    return environment.from_string(source)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print(
        "| template | rows | bytes a row | step: Jinja, µs | Forge, µs | ratio "
        "| job: Jinja, µs | Forge, µs | ratio | left to Jinja | different | bytes | reading | copy |"
    )
    print(f"|{'---|' * 14}")
    for argument in sys.argv[2:]:
        name, path = argument.split("=", 1)
        source = Path(path).read_bytes().decode()
        for kind in KINDS:
            try:
                print(measure(name, source, kind, count), flush=True)
            except ValueError as refused:
                print(f"| {name} | {kind} | {refused} |", flush=True)


if __name__ == "__main__":
    main()
