"""Keys of messages that are null are as if they were not there, in whole jobs: for duplicates,
near-duplicates, every form, lines and tables. `source` alone keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tests.job import jobs

Message = dict[str, Any]
SHOW = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m | tojson }}{{ m.tool_calls is defined }}{{ m.content }}"
    "{{ m.reasoning_content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_KEYS = dict.fromkeys(
    ("name", "tool_calls", "refusal", "audio", "function_call", "weight", "train", "loss")
)
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": null, "b": 1.50}'}}


def say(role: str, content: Any, **more: Any) -> Message:
    return {"role": role, "content": content, **more}


PAIRS: dict[str, tuple[list[Message], list[Message]]] = {
    "usual keys": (
        [say("user", "one", **NO_KEYS), say("assistant", "two", reasoning_content=None)],
        [say("user", "one"), say("assistant", "two")],
    ),
    "null keys first": (
        [{"name": None, **say("user", "three")}, {"tool_calls": None, **say("assistant", "four")}],
        [say("user", "three"), say("assistant", "four")],
    ),
    "a call without a text": (
        [
            say("user", "x"),
            say("assistant", None, tool_calls=[CALL]),
            say("tool", "r", name=None, tool_call_id="c1"),
            say("assistant", "y", tool_calls=None),
        ],
        [
            say("user", "x"),
            {"role": "assistant", "tool_calls": [CALL]},
            say("tool", "r", tool_call_id="c1"),
            say("assistant", "y"),
        ],
    ),
    "reasoning under one name": (
        [say("user", "q"), say("assistant", "a", reasoning=None, thinking="t", reasoning_content=None)],
        [say("user", "q"), say("assistant", "a", thinking="t")],
    ),
    "no system prompt": (
        [say("system", None), say("user", "five"), say("assistant", "six")],
        [{"role": "system"}, say("user", "five"), say("assistant", "six")],
    ),
    "ShareGPT": (
        [
            {"from": "human", "value": "h", "role": None, "content": None, "weight": None},
            {"from": "gpt", "value": "g", "name": None},
        ],
        [{"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}],
    ),
}
RECORDS = [{"messages": messages} for pair in PAIRS.values() for messages in pair]
FORMS = ["text", "prompt_completion", "messages"]


def made(source: Path, form: str, **preprocessing: Any) -> tuple[list[str], dict[str, int]]:
    """The lines of a job and its counts."""
    config = jobs.plan(
        source,
        data={"mapping": {"shape": "conversation", "messages": "messages"}},
        model={"template_kind": "jinja", "chat_template": SHOW},
        preprocessing={"train_split": 1.0, "validation_split": 0.0, **preprocessing},
        output={"form": form},
    )
    result = jobs.run(config, source.parent / f"out-{source.name}-{form}")
    return [line for path in jobs.paths(result) for line in jobs.lines(path)], result.counts


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same records as lines, spelled in two ways, and as tables, whose structs widen every message."""
    folder = tmp_path_factory.mktemp("nulls")
    usual = jobs.write_lines(folder / "usual.jsonl", RECORDS)
    compact, table = folder / "compact.jsonl", pa.Table.from_pylist(RECORDS)
    compact.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in RECORDS))
    pq.write_table(table, folder / "in.parquet")
    feather.write_feather(table, folder / "in.arrow")
    return {
        "usual": usual,
        "compact": compact,
        "parquet": folder / "in.parquet",
        "arrow": folder / "in.arrow",
    }


@pytest.mark.parametrize("form", FORMS)
def test_with_and_without_are_duplicates_and_lines_are_those_of_tables(
    sources: dict[str, Path], form: str
) -> None:
    lines, counts = made(sources["usual"], form)
    assert counts["train"] == len(lines) == len(PAIRS) and counts["duplicate"] == len(PAIRS)
    assert "None" not in str(lines) and str(lines).count("null") == str(lines).count("1.50")  # of arguments
    for name in ("compact", "parquet", "arrow"):
        assert made(sources[name], form) == (lines, counts)


def test_near_duplicates_do_not_see_them(sources: dict[str, Path]) -> None:
    """Rows of one reader and of the other: few are read in Python, many by the machine."""
    near = {"dedup": {"exact": False, "near": {"threshold": 1.0, "unit": "words", "size": 1}}}
    many = sources["usual"].parent / "many.jsonl"
    jobs.write_lines(many, RECORDS * 8)
    for source, count in ((sources["usual"], 1), (many, 8)):
        _, counts = made(source, "messages", **near)
        assert counts["near_duplicate"] == (2 * count - 1) * len(PAIRS)


def test_the_source_keeps_them(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "in.jsonl", RECORDS)
    assert made(source, "source")[0] == jobs.lines(source)


@pytest.mark.parametrize(
    ("name", "tools", "why"),
    [
        ("1e400", "null", "the messages have a number that is too large for a double"),
        ("9" * 5000, "null", "a value cannot be read: Exceeds the limit"),
        ('"n"', "[1e400]", "the tools have a number that is too large for a double"),
        ('"n"', '"[1"', "the tools are a string that is not JSON"),
    ],
)
def test_what_has_no_json_is_refused(tmp_path: Path, name: str, tools: str, why: str) -> None:
    source = tmp_path / "in.jsonl"
    row = '{"m":[{"role":"user","content":"q","name":NAME},{"role":"assistant","content":"a"}],"t":TOOLS}\n'
    bad, good = (name, tools), ("1", '[ {"a" :null}]')
    source.write_text("".join(row.replace("NAME", n).replace("TOOLS", t) for n, t in (bad, good)))
    config = jobs.plan(
        source,
        data={"mapping": {"shape": "conversation", "messages": "m", "tools": "t"}},
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
        output={"form": "messages"},
    )
    result = jobs.run(config, tmp_path / "out")
    assert [line["tools"] for path in jobs.paths(result) for line in jobs.read_lines(path)] == [[{"a": None}]]
    [rejected] = jobs.read_lines(tmp_path / "out" / "rejected.jsonl")
    assert rejected["reason"] == "bad_messages" and why in rejected["detail"]
