"""Files of lines as verl and OpenRLHF load them: by `datasets`, and the keys that each reads of a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from forge_gpu.audit.folder import verify_folder
from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config
from forge_gpu.errors import ForgeError
from forge_gpu.report.trainers import lines_for_trainers
from tests.guards.planted import stop_in
from tests.job import jobs

OFF = {"quality_checks": {"empty": "off"}}
"""Prompts of reinforcement learning have no answers, which the check of empty texts would miss."""


def loaded(path: Path, cache: Path) -> list[dict[str, Any]]:
    return list(load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache)))


def task(number: int) -> dict[str, Any]:
    return {
        "data_source": "sums",
        "prompt": [{"role": "user", "content": f"What is {number} + 1?"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": str(number + 1)},
        "extra_info": {"index": number, "split": "train"},
    }


def test_records_of_verl_keep_their_reward_fields(tmp_path: Path) -> None:
    rows = [task(number) for number in range(30)]
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    mapping = {"shape": "conversation", "messages": "prompt"}
    config = jobs.plan(
        source, data={"mapping": mapping}, output={"form": "source"}, preprocessing={"dedup": {}, **OFF}
    )
    jobs.run(config, tmp_path / "out")
    read = loaded(tmp_path / "out" / "train.jsonl", tmp_path)
    assert len(read) > 15 and all(row == rows[row["extra_info"]["index"]] for row in read)


def of_verl(value: Any) -> Any:
    """Values of a frame as verl's SFT dataset takes them: arrays become lists, at every depth."""
    if isinstance(value, dict):
        return {key: of_verl(inner) for key, inner in value.items()}
    return [of_verl(inner) for inner in value] if isinstance(value, list | np.ndarray) else value


def sft_of_verl(rows: list[dict[str, Any]], folder: Path, **mapping: str) -> tuple[Any, Any]:
    """(the lines of a job as `datasets` loads them, the frame that verl reads of the Parquet they become)"""
    source = jobs.write_lines(folder / "rows.jsonl", rows)
    named = {"shape": "conversation", "messages": "messages", **mapping}
    jobs.run(jobs.plan(source, data={"mapping": named}, output={"form": "messages"}), folder / "out")
    lines = load_dataset(
        "json", data_files=str(folder / "out" / "train.jsonl"), split="train", cache_dir=str(folder)
    )
    lines.to_parquet(folder / "train.parquet")
    return lines, pd.read_parquet(folder / "train.parquet")


def talk(number: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": f"{number}!"}]


TALKS = {"shape": "conversation", "messages": "messages"}


def verl_plan(source: Path, **output: Any) -> Config:
    return jobs.plan(
        source,
        data={"mapping": TALKS},
        output={"form": "messages", "format": "verl", **output},
    )


def test_verls_format_is_what_its_sft_dataset_reads(tmp_path: Path) -> None:
    """By its own steps: pandas, lists of the arrays at every depth, a role and a content in each message."""
    rows: list[dict[str, Any]] = [
        {"messages": talk(number) * (1 + number % 3), "n": number} for number in range(60)
    ]
    rows[7]["messages"][0]["content"] = 'a "quoted" \\ \u2028 naïve\n你好 \x00'
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    result = jobs.run(verl_plan(source, columns=["n"]), tmp_path / "out")
    lines = jobs.run(verl_plan(source, columns=["n"], format="jsonl"), tmp_path / "lines")
    for split in ("train", "validation"):
        frame = pd.read_parquet(tmp_path / "out" / f"{split}.parquet")
        written = jobs.read_lines(jobs.paths(lines, split)[0])
        assert [of_verl(each) for each in frame["messages"]] == [line["messages"] for line in written]
        assert frame["n"].tolist() == [line["n"] for line in written]
        read = [json.loads(row["messages"]) for row in result.splits[split]]
        assert read == [line["messages"] for line in written]
    assert lines_for_trainers(result.manifest, tmp_path / "out")[0] == "for verl:"
    assert not verify_folder(tmp_path / "out").faults


def test_verls_format_has_the_same_bytes_however_it_is_made(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"messages": talk(number)} for number in range(200)])
    jobs.run(verl_plan(source), tmp_path / "whole")
    jobs.run(verl_plan(source), tmp_path / "other", threads=3, chunk_bytes=1000, range_bytes=3000)
    small = {"chunk_bytes": 1000, "range_bytes": 3000}
    stop_in(verl_plan(source), tmp_path / "stopped", "write", chunks=4, **small)
    jobs.run(verl_plan(source), tmp_path / "stopped", **small)
    whole = jobs.content(tmp_path / "whole")
    assert jobs.content(tmp_path / "other") == jobs.content(tmp_path / "stopped") == whole


@pytest.mark.parametrize(
    "message", [{"role": "assistant", "content": "x", "name": "y"}, {"role": "assistant", "content": [1]}]
)
def test_verls_format_refuses_other_messages(message: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"messages": talk(number)} for number in range(20)]
    rows[9]["messages"][1] = message
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    try:
        counts = jobs.run(verl_plan(source), tmp_path / "out").counts
    except ForgeError as fault:
        assert "a role and a text alone" in str(fault)
    else:
        assert counts["rejected"] == 1


def test_a_plan_that_verls_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"messages": talk(1)}])
    for changes, said in (
        ({"output": {"form": "text", "format": "verl"}}, "needs output.form messages"),
        (
            {"data": {"mapping": {**TALKS, "tools": "tools"}}},
            "no tools",
        ),
    ):
        sections = verl_plan(source).model_dump()
        for name, values in changes.items():
            sections[name] |= values
        assert any(said in fault for _, fault in broken(Config.model_validate(sections), ()))


def test_tools_of_verl_have_a_column_of_their_own(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    called = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}
    rows = [{"messages": [*talk(number), called][: 2 + number % 2], "tools": [tool]} for number in range(30)]
    _, frame = sft_of_verl(rows, tmp_path, tools="tools")
    assert all(of_verl(each) == [tool] for each in frame["tools"])
    # Messages that do not all have the same keys are text to `datasets`, which verl does not parse.
    assert all(isinstance(message, str) for each in frame["messages"] for message in each)


def test_prompts_of_openrlhf_have_their_labels(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"What is {number} + 1?", "input": "", "output": str(number + 1), "sum": number + 1}
        for number in range(30)
    ]
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    jobs.run(jobs.plan(source, output={"form": "prompt_completion", "columns": ["sum"]}), tmp_path / "out")
    read = loaded(tmp_path / "out" / "train.jsonl", tmp_path)
    assert len(read) > 15
    for row in read:
        assert row.keys() == {"prompt", "completion", "sum"}
        assert f"What is {row['sum'] - 1} + 1?" in row["prompt"] and str(row["sum"]) in row["completion"]
