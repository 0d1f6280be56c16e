"""Compiled chat templates against Jinja row by row, by how long the contents are.

    python -m benchmarks.templates_vs_jinja [ROWS]

The contenders are those of the case `render_chat`, here in one process: both start from messages that were
parsed before and end with one text a row, and their texts are compared. Jinja's time hardly depends on the
length of contents, a copy's does: so the ratio is given for several lengths, beside the speed of a bare copy
of the texts' bytes. One core; after a run that warms up, the least CPU seconds of some, in turns. Prints a
Markdown table.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks import ours
from benchmarks.cases import HERE, TEMPLATES
from benchmarks.peers import jinja

TURNS = 3
ROUNDS = 3
LENGTHS = ((40, 80), (80, 240), (150, 450))
"""Mean characters of a user's and of the assistant's content."""
WORDS = ["the", "model", "answers", "a", "question", "about", "data", "with", "care", "here.\n", '"so"']


def write_conversations(path: Path, rows: int, user: int, assistant: int) -> None:
    """Conversations of three turns with contents of about these lengths; a newline or quote in most."""
    rng = random.Random(f"{user} {assistant}")

    def said(role: str, mean: int) -> dict[str, str]:
        count = max(1, round(rng.uniform(0.5, 1.5) * mean / 5.7))
        return {"role": role, "content": " ".join(rng.choices(WORDS, k=count))}

    with open(path, "wb") as lines:
        for _ in range(rows):
            turns = [said(*turn) for _ in range(TURNS) for turn in (("user", user), ("assistant", assistant))]
            lines.write(orjson.dumps({"messages": turns}) + b"\n")


def seconds_of(work: Callable[[], Any]) -> float:
    """CPU seconds of one run; what it gives is kept until the clock has stopped."""
    gc.collect()
    began = time.process_time()
    result = work()
    spent = time.process_time() - began
    del result
    return spent


def bare_copy(size: int) -> Callable[[], Any]:
    """A copy of so many bytes, in pieces as long as a chunk."""
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
    cuts = [*range(0, size, ours.CHAT_CHUNK), size]

    def work() -> None:
        for a, b in pairwise(cuts):
            np.copyto(target[a:b], source[a:b])

    return work


def race(path: Path, template: Path, rows: int, lengths: tuple[int, int]) -> None:
    forge = ours.chat_texts(str(path), str(template), ours.Parsed)
    peer = jinja.render_chat(str(path), str(template))
    texts = forge()
    if ours.facts_of(texts) != peer()():
        raise SystemExit(f"{template.stem}: the texts differ")
    size = sum(int(text.offsets[-1]) for text in texts)
    gc.freeze()  # or the collector looks at the parsed conversations again and again, while Jinja runs
    runs = [[seconds_of(work) for work in (forge, peer, bare_copy(size))] for _ in range(ROUNDS)]
    gc.unfreeze()
    mine, theirs, floor = map(min, zip(*runs, strict=True))
    speeds = f"{rows / theirs:,.0f} | {rows / mine:,.0f} | {rows / floor:,.0f} | {theirs / mine:.0f}×"
    print(f"| {template.stem} | {lengths[0]}, {lengths[1]} | {size // rows} | {speeds} |", flush=True)


def main(rows: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    columns = (
        "template",
        "user, assistant",
        "bytes a row",
        "Jinja, rows/s",
        "Forge, rows/s",
        "copy, rows/s",
        "ratio",
    )
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for lengths in LENGTHS:
            path = Path(folder, "conversations.jsonl")
            write_conversations(path, rows, *lengths)
            for name in (*TEMPLATES, "llama3_short"):
                race(path, HERE / "templates" / f"{name}.jinja", rows, lengths)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
