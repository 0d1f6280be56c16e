"""How many chat templates compile: prints a table for docs/templates.md.

    FORGE_TEMPLATES=folder python -m tests.templates.count_compiled [ROWS]

Every template renders ROWS adversarial conversations of every shape, each compared with Jinja. A template is
fully compiled for plain shapes where no row needed Jinja but those that Jinja itself refuses.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from forge_gpu.templates.conversations import Conversation, ListShape
from forge_gpu.templates.environment import Refused
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.tracing.compiler import EAGER
from tests.templates.chat_cases import OTHER_SHAPES, PLAIN_SHAPES, TOOL, conversations
from tests.templates.chat_support import all_templates, chat_template, render

SHAPE = ListShape("messages", {}, {}, tools="tools")


def talk_of(row: dict) -> Conversation:
    return Conversation(row["messages"], row["tools"]) if "tools" in row else Conversation(row["messages"])


def differences(template, rows: list[dict], result: list) -> int:
    """Rows whose text is not Jinja's, refusals included."""
    count = 0
    for row, got in zip(rows, result, strict=True):
        try:
            expected: object = {"text": template.render(talk_of(row))}
        except Refused as refused:
            expected = str(refused)
        count += expected != (got if isinstance(got, dict) else got[1])
    return count


def run(template, shapes: tuple[str, ...], rows: int) -> tuple[Counter[str], int]:
    """Rows by the way they took, and how many differ from Jinja."""
    renderer, bad = JinjaRenderer(template, (SHAPE,), ("text",), patience=EAGER), 0
    refused = 0
    for shape in shapes:
        talks = conversations("three_turns" if shape == "tools" else shape, rows, seed=21)
        given = [{"messages": talk, **({"tools": [TOOL]} if shape == "tools" else {})} for talk in talks]
        result = render(renderer, given)
        bad += differences(template, given, result)
        refused += sum(isinstance(got, tuple) for got in result)
    counts = renderer.counts
    render_paths = Counter(compiled=counts.compiled + counts.evaluated, refused=refused)
    render_paths["row_wise"] = rows * len(shapes) - render_paths["compiled"] - refused
    return render_paths, bad


def verdict(render_paths: Counter[str]) -> str:
    if not render_paths["compiled"] and not render_paths["row_wise"]:
        return "Jinja refuses every row"
    if not render_paths["row_wise"]:
        return "fully compiled"
    return "partly compiled" if render_paths["compiled"] else "row by row"


def main(rows: int) -> None:
    began = time.perf_counter()
    kinds = {"plain text": tuple(PLAIN_SHAPES), "tools, parts, reasoning": (*OTHER_SHAPES, "tools")}
    table = {kind: Counter[str]() for kind in kinds}
    total = bad = 0
    for name, source, tokens in all_templates():
        for kind, shapes in kinds.items():
            render_paths, different = run(chat_template(source, tokens), shapes, rows)
            table[kind][verdict(render_paths)] += 1
            total += rows * len(shapes)
            bad += different
            if kind == "plain text" and verdict(render_paths) in ("partly compiled", "row by row"):
                print(f"{verdict(render_paths)}: {name} ({render_paths['row_wise']} rows)", file=sys.stderr)
    outcomes = ("fully compiled", "partly compiled", "row by row", "Jinja refuses every row")
    print(f"| shapes | {' | '.join(outcomes)} |\n|---|{'---|' * len(outcomes)}")
    for kind, counts in table.items():
        print(f"| {kind} | {' | '.join(str(counts[outcome]) for outcome in outcomes)} |")
    print(f"\n{total} rows compared, {bad} different, {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
