"""Plans of all forms of output, for jobs that are attacked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.job import jobs

OUTPUTS: dict[str, dict[str, Any]] = {
    "text": {},
    "text, in shards": {"rows_per_shard": 30},
    "text, shuffled": {"order": "shuffled"},
    "text, as Parquet": {"format": "parquet", "columns": ["category", "score"]},
    "text, as Parquet, shuffled, in shards": {"format": "parquet", "order": "shuffled", "rows_per_shard": 40},
    "prompt and completion": {"form": "prompt_completion"},
    "messages": {"form": "messages", "format": "parquet"},
    "source": {"form": "source"},
}


def plans(folder: Path) -> dict[str, dict[str, Any]]:
    """By name. Their rows have duplicates and some that are rejected."""
    lines = jobs.write_lines(folder / "rows.jsonl", jobs.rows(120))
    with lines.open("a") as file:
        file.write("{broken\n" + json.dumps({"instruction": "no answer"}) + "\n")
    made = {name: _plan(lines, output) for name, output in OUTPUTS.items()}
    near = {"dedup": {"near": {}}, "streaming_threshold_gb": 0}
    made["text, without near-duplicates"] = _plan(lines, {}, near)
    return made


def _plan(lines: Path, output: dict[str, Any], preprocessing: dict[str, Any] | None = None) -> dict[str, Any]:
    config = jobs.plan(lines, output=output, preprocessing=preprocessing or {})
    plan: dict[str, Any] = config.model_dump(mode="json")
    return plan
