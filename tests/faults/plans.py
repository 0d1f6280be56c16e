"""Plans of all forms and formats of output, for jobs that are attacked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.config.schema import Config
from tests.job import jobs
from tests.job.test_job_tokens import plan as plan_of_talks
from tests.job.test_job_tokens import talks
from tests.tokens.made import document

ROWS = 80
NEAR = {"dedup": {"near": {}}, "streaming_threshold_gb": 0}
FLAT: dict[str, dict[str, Any]] = {
    "text": {},
    "text, in shards": {"output": {"rows_per_shard": 30}},
    "text, shuffled": {"output": {"order": "shuffled"}},
    "text, as Parquet": {"output": {"format": "parquet", "columns": ["category", "score"]}},
    "text, as Parquet, shuffled, in shards": {
        "output": {"format": "parquet", "order": "shuffled", "rows_per_shard": 40}
    },
    "text, without near-duplicates": {"preprocessing": NEAR},
    "prompt and completion": {"output": {"form": "prompt_completion"}},
    "messages": {"output": {"form": "messages", "format": "parquet"}},
    "source": {"output": {"form": "source"}},
}
TABLES: dict[str, dict[str, Any]] = {
    "from Parquet": {"preprocessing": NEAR, "output": {"format": "parquet", "columns": ["category"]}},
}
"""Of compressed Parquet: rows that are decoded once."""
PAIRS: dict[str, dict[str, Any]] = {
    "preference": {"output": {"form": "preference"}},
    "preference, as Parquet, in shards": {
        "output": {"form": "preference", "format": "parquet", "rows_per_shard": 30}
    },
}
TALKS: dict[str, dict[str, Any]] = {
    "text and spans": {"output": {"form": "text", "spans": True}},
    "a row a turn": {"output": {"form": "text", "turns": "each"}},
    "tokens": {"output": {"form": "tokens"}},
    "tokens, as Parquet, shuffled": {
        "output": {"form": "tokens", "format": "parquet", "order": "shuffled", "columns": ["n"]}
    },
    "tokens, cut": {"tokens": {"cut": "split"}, "model": {"max_length": 60}},
    "tokens, repeated": {
        "data": {"mapping": {"shape": "conversation", "messages": "messages"}, "repeats": [3]},
        "output": {"form": "tokens", "order": "shuffled"},
    },
    "packs": {"output": {"form": "tokens", "packing": "bfd", "pack_length": 200}},
    "packs, wrapped, as Parquet": {
        "output": {"form": "tokens", "format": "parquet", "packing": "wrapped", "pack_length": 100}
    },
    "Megatron": {"tokens": {"train": "all"}, "output": {"form": "tokens", "format": "megatron"}},
}


def plans(folder: Path) -> dict[str, dict[str, Any]]:
    """By name. Their rows have duplicates and some that are rejected."""
    made: dict[str, Config] = {}
    kinds: tuple[tuple[dict[str, dict[str, Any]], Callable[..., Config]], ...] = (
        (FLAT, jobs.plan),
        (PAIRS, _pairs),
        (TALKS, _talks),
    )
    for number, (named, make) in enumerate(kinds):
        source = _source(folder / f"rows{number}.jsonl", (jobs.rows(ROWS), _pair_rows(), talks(ROWS))[number])
        made |= {name: make(source, **sections) for name, sections in named.items()}
    table = _table(folder / "rows.parquet")
    made |= {name: jobs.plan(table, **sections) for name, sections in TABLES.items()}
    return {name: plan.model_dump(mode="json") for name, plan in made.items()}


NAMES = (*FLAT, *PAIRS, *TALKS, *TABLES)


def _source(path: Path, rows: list[dict[str, Any]]) -> Path:
    with jobs.write_lines(path, rows).open("a") as file:
        file.write("{broken\n" + json.dumps({"instruction": "no answer"}) + "\n")
    return path


def _table(path: Path) -> Path:
    rows = [
        {name: row[name] for name in ("instruction", "input", "output", "category")}
        for row in jobs.rows(ROWS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=20)
    return path


def _pair_rows() -> list[dict[str, Any]]:
    return [
        {"prompt": row["instruction"], "chosen": row["output"], "rejected": f"no, {row['score']}"}
        for row in jobs.rows(ROWS)
    ]


def _pairs(source: Path, **sections: Any) -> Config:
    mapping = {"shape": "preference", "query": "prompt", "chosen": "chosen", "rejected": "rejected"}
    return jobs.plan(source, data={"mapping": mapping}, **sections)


def _talks(source: Path, **sections: Any) -> Config:
    model = source.with_name("model")
    model.mkdir(exist_ok=True)
    (model / "tokenizer.json").write_text(document("qwen"))
    template: dict[str, Any] = plan_of_talks(source, model).model.model_dump(mode="json")
    return plan_of_talks(source, model, **(sections | {"model": template | sections.get("model", {})}))
