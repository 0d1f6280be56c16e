"""Rows go to Parquet as columns: the same file as of the lines that the same job writes as JSON."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.config.schema import Config
from forge_gpu.io.sinks.base import SplitRows
from forge_gpu.io.sinks.parquet import FORMAT
from forge_gpu.job.rows.list_rows import ListRows
from forge_gpu.job.write_pass import takes_columns
from forge_gpu.kernels.layout import Text
from tests.job import jobs

TEXTS = (
    *(
        '""',
        '"plain"',
        r'"q\"uo\\te"',
        r'"\ud800"',
        r'"x\udc00"',
        r'"\ud83d\ude00"',
        r'"\/\u00e9\u0000\u2028"',
    ),
    *('"é 你好 😀"', '"null"', '"[1, 2]"', '"\x7f </s> "', '"' + 300 * "a" + '"'),
)
KEPT = {
    "word": (*TEXTS, "null"),
    "whole": ("0", "-7", str(2**63 - 1), str(-(2**63)), "null"),
    "real": ("1.5", "0.1", "-2.25", "1e+22", "null"),
    "truth": ("true", "false", "null"),
    "mixed": ("1", str(2**63), "1e400", "-0", "1.0", '"1"', "true", "null", '"null"', r'"\ud800"'),
    "nested": (r'{"a" : [1 , {"b":"x\u00e9\ud800"}]}', "[ ]", "{ }", '["a", null]', "null"),
    "nothing": ("null",),
}
"""Values of columns that are kept, as JSON spells them; one in six records lacks a column."""
FLAT = {"shape": "flat", "query": "instruction", "input": "input", "response": "output"}
CHAT = {"shape": "conversation", "messages": "messages"}
PAIRS = {"shape": "preference", "query": "instruction", "chosen": "input", "rejected": "output"}
CASES: list[tuple[dict[str, str], dict[str, Any]]] = [
    (FLAT, {}),
    (FLAT, {"form": "source"}),
    (FLAT, {"form": "prompt_completion", "eos": "strip"}),
    (PAIRS, {"form": "preference"}),
    (CHAT, {"spans": True}),
    (CHAT | {"tools": "tools"}, {"form": "messages", "rows_per_shard": 17}),
    (CHAT, {"form": "prompt_completion", "turns": "each", "eos": "strip"}),
]


def source(folder: Path, mapping: dict[str, str]) -> Path:
    chance = random.Random(7)
    lines = []
    for number in range(60):
        own = {name: chance.choice(values) for name, values in KEPT.items() if chance.random() < 5 / 6}
        if mapping["shape"] == "conversation":
            turns = [
                f'{{"role":"{role}", "content":{chance.choice(TEXTS)}}}'
                for role in ("user", "assistant") * chance.randint(1, 2)
            ]
            own["messages"] = f"[{', '.join(turns)} ]"
            if number % 3:
                own["tools"] = chance.choice(("[ ]", "null", '[{"type":"function","function":{"name":"f"}}]'))
        else:
            own |= {name: chance.choice(TEXTS) for name in ("input", "output")}
            own["instruction"] = f'"{number} {chance.choice(TEXTS)[1:]}'
        lines.append("{" + ", ".join(f'"{name}": {value}' for name, value in own.items()) + "}\n")
    path = folder / "rows.jsonl"
    path.write_text("".join(lines))
    return path


def plan(folder: Path, mapping: dict[str, str], output: dict[str, Any]) -> Config:
    kept = {} if output.get("form") == "source" else {"columns": list(KEPT)}
    return jobs.plan(
        source(folder, mapping), data={"mapping": mapping, "max_rejected": None}, output=kept | output
    )


@pytest.mark.parametrize(("mapping", "output"), CASES, ids=lambda case: str(case.get("form", "")))
def test_columns_make_the_file_of_the_lines(
    mapping: dict[str, str], output: dict[str, Any], tmp_path: Path
) -> None:
    parquet = plan(tmp_path, mapping, output | {"format": "parquet"})
    assert takes_columns(parquet)
    made = jobs.run(parquet, tmp_path / "parquet", threads=2)
    lines = jobs.run(plan(tmp_path, mapping, output), tmp_path / "lines")
    rows = [path.read_bytes() for path in jobs.paths(lines)]
    written = b"".join(rows).split(b"\n")[:-1]
    assert len(written) > 10 and lines.counts == made.counts
    data = b"".join(rows)
    offsets = np.cumsum([0, *(len(row) + 1 for row in written)])
    split = SplitRows("train", len(written), output.get("rows_per_shard"), made.manifest["columns"])
    sink = FORMAT.open(tmp_path / "of_lines", split, {})
    sink.append(Text(np.frombuffer(data, np.uint8), offsets))
    expected = [file.path.read_bytes() for file in sink.finish()]
    assert [path.read_bytes() for path in jobs.paths(made)] == expected


def test_rows_are_lines_where_something_is_done_with_lines(tmp_path: Path) -> None:
    for output in ({"order": "shuffled"}, {"media": "embed"}, {"format": "jsonl"}):
        assert not takes_columns(plan(tmp_path, FLAT, {"format": "parquet"} | output))


def test_some_rows_of_lists_are_taken() -> None:
    offsets = np.array([0, 2, 2, 3])
    lists = ListRows({"ids": (np.array([7, 8, 9], np.int32), offsets)})
    ids, ends = lists.taken(np.array([2, 1, 0, 0])).columns["ids"]
    assert ids.tolist() == [9, 7, 8, 7, 8] and ends.tolist() == [0, 1, 1, 3, 5]
    assert lists.taken(np.arange(3)) is lists
