"""Folders of tokens, of the format and the packs that a test names."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.job import jobs
from tests.job.test_job_tokens import plan, talks
from tests.tokens.made import document


def tokens(folder: Path, count: int = 300, first: int = 0, **output: Any) -> Path:
    """The folder `out` in `folder`, of so many conversations."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(document("qwen"))
    source = jobs.write_lines(folder / "rows.jsonl", talks(first + count)[first:])
    jobs.run(plan(source, folder, output={"form": "tokens", **output}), folder / "out")
    return folder / "out"


def cuts(total: int, seed: int) -> list[int]:
    """Some random numbers below `total`, in order."""
    return sorted(random.Random(seed).sample(range(total), min(3, total)))
