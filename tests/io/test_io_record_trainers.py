"""Files of lines as verl and OpenRLHF load them: by `datasets`, and the keys that each reads of a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from datasets import load_dataset

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


def test_conversations_become_the_nested_parquet_of_verl(tmp_path: Path) -> None:
    talks = [
        [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": f"{number}!"}]
        for number in range(30)
    ]
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"messages": talk} for talk in talks])
    mapping = {"shape": "conversation", "messages": "messages"}
    jobs.run(jobs.plan(source, data={"mapping": mapping}, output={"form": "messages"}), tmp_path / "out")
    lines = load_dataset(
        "json", data_files=str(tmp_path / "out" / "train.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    lines.to_parquet(tmp_path / "train.parquet")
    frame = pd.read_parquet(tmp_path / "train.parquet", dtype_backend="pyarrow")
    read = [list(talk) for talk in frame["messages"]]
    assert len(read) > 15 and all(talk in talks for talk in read)
    # What OpenRLHF does with `--data.input_key messages`: the last message is the answer.
    assert all(row["messages"][-1]["role"] == "assistant" for row in lines)


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
