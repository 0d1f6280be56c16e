"""Small prepared folders, of each form and format, for the tests of what is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.job.jobs import plan, rows, run, write_lines

CHAT = {"shape": "conversation", "messages": "messages"}
PAIRS = {"shape": "preference", "query": "question", "chosen": "good", "rejected": "bad"}
TOKENIZER = Path(__file__).parents[2] / "examples" / "tokenizer.json"


def chats(count: int) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"question {number}"},
                {"role": "assistant", "content": f"answer {number}\n"},
            ]
        }
        for number in range(count)
    ]


def pairs(count: int) -> list[dict[str, Any]]:
    return [{"question": f"q {n}", "good": f"good {n}", "bad": f"bad {n}"} for n in range(count)]


def prepared(
    folder: Path,
    records: list[dict[str, Any]] | None = None,
    *,
    goal: str | None = None,
    license: str | None = None,
    **sections: Any,
) -> Path:
    """A folder that a job made of records; by default of 120 rows of the alpaca kind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = write_lines(folder.parent / "raw.jsonl", rows(120) if records is None else records)
    run(plan(source, **sections).model_copy(update={"goal": goal, "license": license}), folder)
    return folder
