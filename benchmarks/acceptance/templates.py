"""Every chat template of a folder on every shape, against a tokenizer's public `apply_chat_template`.

    python -m benchmarks.acceptance.templates [FOLDER]

FOLDER has *.jinja and manifest.json; without it, and without FORGE_TEMPLATES, the project's own templates are
taken. Compared are texts and refusals, and spans: by the machine, by Jinja, and by prefixes rendered by the
tokenizer. Prints what compiles, as a Markdown table, and why rows were left to Jinja.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.templates.agent_shapes import SHAPES
from tests.templates.chat_support import DATE, all_templates
from tests.templates.differential import Compared, compare_spans, compare_texts
from tests.templates.tokenizers_of import on

ROWS, SEED, SHOWN, REASONS = 2, 29, 5, 25
PLAIN = tuple(SHAPES)[:8]
GROUPS = {"plain text": PLAIN, "tools, calls, reasoning, parts, nulls": tuple(SHAPES)[8:]}


def table(every: list[Compared]) -> str:
    lines = ["| shape | rendered by the tokenizer | compiled |", "|---|---|---|"]
    for shape in SHAPES:
        rendered = sum(compared.rendered[shape] for compared in every)
        share = sum(compared.compiled[shape] for compared in every) / max(rendered, 1)
        lines.append(f"| {shape} | {rendered} | {share:.1%} |")
    return "\n".join(lines)


def outcomes(every: list[Compared]) -> str:
    """How many templates compile, by groups of shapes."""
    lines = ["| shapes | fully compiled | partly compiled | row by row | refused |", "|---|---|---|---|---|"]
    for group, shapes in GROUPS.items():
        counts = Counter(_outcome(compared, shapes) for compared in every)
        lines.append(f"| {group} | {' | '.join(str(counts[k]) for k in range(4))} |")
    return "\n".join(lines)


def _outcome(compared: Compared, shapes: tuple[str, ...]) -> int:
    rendered = sum(compared.rendered[shape] for shape in shapes)
    compiled = sum(compared.compiled[shape] for shape in shapes)
    return 3 if not rendered else 0 if compiled == rendered else 1 if compiled > 0 else 2


def compare(template: tuple[str, str, dict[str, str]]) -> tuple[Compared, Compared]:
    """The texts and the spans of one template."""
    with on(DATE):
        return compare_texts(*template, ROWS, SEED), compare_spans(*template, 1, SEED)


def main(folder: str | None) -> int:
    if folder is not None:
        os.environ["FORGE_TEMPLATES"] = folder
    began = time.monotonic()
    texts: list[Compared] = []
    spans: list[Compared] = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for text, span in pool.map(compare, all_templates()):
            texts.append(text)
            spans.append(span)
            for fault in [*text.differing, *span.differing][:SHOWN]:
                print(f"DIFFERS: {fault}", file=sys.stderr, flush=True)
            print(f"\r{len(texts)} templates", end="", file=sys.stderr, flush=True)
    why: Counter[str] = Counter()
    for compared in texts:
        why.update({reason.partition(", line")[0]: rows for reason, rows in compared.why.items()})
    print(outcomes(texts), table(texts), sep="\n\n")
    rendered = sum(compared.rendered.total() for compared in texts)
    share = sum(compared.compiled.total() for compared in texts) / rendered
    print(f"\n{share:.1%} of {rendered} rendered rows compiled.\n")
    print("\n".join(f"{rows:6} {reason}" for reason, rows in why.most_common(REASONS)))
    differing = [sum(len(compared.differing) for compared in every) for every in (texts, spans)]
    rows = [sum(compared.rows for compared in every) for every in (texts, spans)]
    print(f"\n{len(texts)} templates, {len(SHAPES)} shapes, {time.monotonic() - began:.0f} s.")
    print(f"texts: {rows[0]} rows, {differing[0]} different")
    print(f"spans: {rows[1]} rows, {differing[1]} wrong, {sum(c.unknown for c in spans)} not known")
    return int(any(differing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
