"""What is trained without what the model thinks."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

from forge_gpu.job.rows.thinking import without_thinking
from forge_gpu.kernels.layout import PADDING, Text
from forge_gpu.kernels.token_layout import Runs
from tests.job import jobs
from tests.tokens.made import document


def left_of(rows: list[tuple[str, list[tuple[int, int]]]]) -> list[list[str]]:
    """The texts of what is left of the ranges of each row. Ranges: characters of ASCII texts."""
    offsets = np.concatenate(([0], np.cumsum([len(text) for text, _ in rows])))
    data = np.frombuffer("".join(text for text, _ in rows).encode() + bytes(PADDING), np.uint8)
    pairs = [(at + a, at + b) for (_, spans), at in zip(rows, offsets, strict=False) for a, b in spans]
    ranges = np.array(pairs, np.int64).reshape(-1, 2)
    counts = np.concatenate(([0], np.cumsum([len(spans) for _, spans in rows])))
    made = without_thinking(Text(data, offsets), Runs(counts, ranges[:, 0].copy(), ranges[:, 1].copy()))
    texts = [data[a:b].tobytes().decode() for a, b in zip(made.start, made.stop, strict=True)]
    return [texts[made.offsets[row] : made.offsets[row + 1]] for row in range(len(rows))]


@pytest.mark.parametrize(
    ("before", "trained", "left"),
    [
        ("", "a<think>b</think>c", ["a", "c"]),
        ("", "<think>\n\n</think>\n\nyes", ["\n\nyes"]),
        ("", "<think>never ends", []),
        ("", "a<think>b</think>c[THINK]d[/THINK]", ["a", "c"]),
        ("assistant\n<think>\n", "it</think>yes", ["yes"]),
        ("assistant\n", "it</think>yes", ["it</think>yes"]),
        ("<think>said by a user</think>", "yes", ["yes"]),
        ("", "<|channel|>analysis<|message|>hm<|end|>yes", ["yes"]),
    ],
)
def test_thinking_is_left_out(before: str, trained: str, left: list[str]) -> None:
    row = (f"{before}{trained}</think>.", [(len(before), len(before) + len(trained))])
    assert left_of([("<think>x", []), row, ("no", [(0, 2)])]) == [[], left, ["no"]]


def test_many_ranges_are_those_of_an_expression() -> None:
    chance = random.Random(5)
    parts = ["<think>", "</think>", "ab", "c ", "<thi"]
    rows, expected = [], []
    for _ in range(300):
        text, spans, left = "", [], []
        for _ in range(chance.randint(0, 3)):
            text += "u. "
            own = "".join(chance.choices(parts, k=chance.randint(1, 6)))
            spans.append((len(text), len(text) + len(own)))
            text += own
            left += [each for each in re.split(r"<think>.*?(?:</think>|\Z)", own) if each]
        rows.append((text, spans))
        expected.append(left)
    assert left_of(rows) == expected


def test_a_job_trains_no_thinking(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    answers = ["<think>part of it</think>people", "people", "<think>only this</think>"]
    pairs = [{"instruction": f"the {n}", "output": answers[n % 3]} for n in range(30)]
    trained = {}
    for thinking in (True, False):
        config = jobs.plan(
            jobs.write_lines(tmp_path / "rows.jsonl", pairs),
            model={"chat_template": "{instruction}\n{output}", "template_kind": "format"},
            tokens={"tokenizer": str(tmp_path), "thinking": thinking},
            output={"form": "tokens"},
            preprocessing={"train_split": 1.0, "validation_split": 0.0},
            data={"mapping": {"shape": "flat", "query": "instruction", "response": "output"}},
        )
        result = jobs.run(config, tmp_path / f"out {thinking}")
        assert result.manifest["counts"]["rejected"] == (0 if thinking else 10)
        lines = jobs.read_lines(jobs.paths(result)[0])
        trained[thinking] = {tuple(number for number in row["labels"] if number >= 0) for row in lines}
    assert len(trained[True]) == 3 and len(trained[False]) == 1 and trained[False] < trained[True]
