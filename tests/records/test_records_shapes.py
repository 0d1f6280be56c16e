"""One record of each convention, and the messages or texts that are written of it, from plan to output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.errors import InputError
from forge_gpu.planner.columns import columns_of, with_paths
from forge_gpu.planner.convert import converted
from forge_gpu.planner.inspect import inspect
from forge_gpu.planner.mapping import Picked, pick
from forge_gpu.records.paths import Paths, steps_of, value_at

U, A = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "R"}
TREE = {
    "text": "Q", "role": "prompter",
    "replies": [{"text": "R", "role": "assistant", "rank": 1}, {"text": "S", "role": "assistant", "rank": 0}],
}  # fmt: skip
CALL = {"name": "f", "arguments": {"x": 1}}
FLAT = {"query": "Q", "response": "R"}
PAIR = {"prompt": "Q", "chosen": "R", "rejected": "S"}
CHOICE = {"query": "Q\nA. v\nB. w", "response": "B. w"}


def turns(*texts: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


CASES: dict[str, tuple[dict[str, Any], str, Any]] = {
    # name: (record, converter, what it makes: of several rows a list)
    "history": (
        {"instruction": "Q", "output": "R", "history": [["a", "b"]]}, "history", turns("a", "b", "Q", "R")
    ),
    "trl": ({"prompt": [U], "completion": [A]}, "prompt_completion", [U, A]),
    "speakers": (
        {"dialogue": [{"speaker": "human", "utterance": "Q"}, {"speaker": "bot", "utterance": "R"}]},
        "turns", [{"from": "human", "value": "Q"}, {"from": "bot", "value": "R"}],
    ),
    "who said": (
        {"dialogue": [{"who": "human", "said": "Q"}, {"who": "bot", "said": "R"}]},
        "turns", [{"from": "human", "value": "Q"}, {"from": "bot", "value": "R"}],
    ),
    "role text": (
        {"turns": [{"role": "user", "text": "Q"}, {"role": "assistant", "text": "R"}]},
        "turns", [{"from": "user", "value": "Q"}, {"from": "assistant", "value": "R"}],
    ),
    "exchanges": ({"conversation": [{"input": "Q", "output": "R"}]}, "exchanges", turns("Q", "R")),
    "human assistant": ({"dialog": [{"human": "Q", "assistant": "R"}]}, "exchanges", turns("Q", "R")),
    "alternating": ({"data": ["Q", "R", "S", "T"]}, "alternating", turns("Q", "R", "S", "T")),
    "pairs": ({"conversation": [["Q", "R"], ["S", "T"]]}, "pairs", turns("Q", "R", "S", "T")),
    "gemini": (
        {"contents": [
            {"role": "user", "parts": [{"text": "Q"}]}, {"role": "model", "parts": [{"text": "R"}]}
        ]},
        "contents", [{"from": "user", "value": "Q"}, {"from": "model", "value": "R"}],
    ),
    "scores of two": (
        {"prompt": "Q", "response_a": "S", "response_b": "R", "score_a": 1, "score_b": 2.5},
        "scored_pair", PAIR,
    ),
    "choices by their number": (
        {"sentence": "Q", "option1": "v", "option2": "w", "answer": "2"}, "lettered_choice", CHOICE
    ),
    "several targets": ({"inputs": "Q", "targets": ["R"]}, "answers", [FLAT]),
    "transcript": ({"text": "\n\nHuman: Q\n\nAssistant: R"}, "transcript", turns("Q", "R")),
    "tree": (
        {"message_tree_id": "1", "prompt": TREE}, "tree",
        [[{"from": "prompter", "value": "Q"}, {"from": "assistant", "value": text}] for text in "RS"],
    ),
    "xlam": (
        {"query": "Q", "answers": json.dumps([CALL]), "tools": json.dumps([{"name": "f"}])}, "xlam",
        [U, {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]}],
    ),
    "squad": (
        {"context": "C", "question": "Q", "answers": {"text": ["R"], "answer_start": [0]}}, "squad",
        {"input": "C", **FLAT},
    ),
    "index": ({"question": "Q", "choices": ["v", "w"], "answer": 1}, "multiple_choice", CHOICE),
    "letter": ({"question": "Q", "options": {"A": "v", "B": "w"}, "answer": "B"}, "multiple_choice", CHOICE),
    "labels": (
        {"question": "Q", "choices": {"text": ["v", "w"], "label": ["1", "2"]}, "answerKey": "2"},
        "multiple_choice", CHOICE,
    ),
    "letters": ({"question": "Q", "opa": "v", "opb": "w", "cop": 1}, "lettered_choice", CHOICE),
    "instances": (
        {"instruction": "Q", "instances": [{"input": "I", "output": "R"}, {"input": "", "output": "S"}]},
        "instances", [{**FLAT, "input": "I"}, {"query": "Q", "response": "S"}],
    ),
    "answers": (
        {"instruction": "Q", "output": ["R", "S"]}, "answers", [FLAT, {"query": "Q", "response": "S"}]
    ),
    "winner": ({"prompt": "Q", "response_a": "S", "response_b": "R", "winner": "model_b"}, "winner", PAIR),
    "better": (
        {"prompt": "Q", "response_0": "S", "response_1": "R", "better_response_id": 1}, "winner", PAIR
    ),
    "from one": ({"prompt": "Q", "output_1": "R", "output_2": "S", "preference": 1}, "winner", PAIR),
    "arena": (
        {"conversation_a": [U, A], "conversation_b": [U], "winner": "model_a"}, "conversation_pair",
        {"chosen": [U, A], "rejected": [U]},
    ),
    "transcripts": (
        {"chosen": "\n\nHuman: Q\n\nAssistant: R", "rejected": "\n\nHuman: Q\n\nAssistant: S"},
        "transcript_pair", {"chosen": turns("Q", "R"), "rejected": turns("Q", "S")},
    ),
}  # fmt: skip


def picked(record: dict[str, Any], **convert: Any) -> tuple[Picked, list[dict[str, Any]]]:
    result = pick(with_paths(columns_of([record] * 3), [record], ()), {}, {}, convert)
    return result, converted([record], result)


@pytest.mark.parametrize("name", CASES)
def test_a_convention_is_recognised_and_read(name):
    record, by, expected = CASES[name]
    result, rows = picked(record)
    assert result.convert["by"] == by
    assert result.conversion is not None
    made = [{key: row[key] for key in row if key in result.conversion.makes} for row in rows]
    of_messages = [row["messages"] for row in made if "messages" in row]
    several = result.conversion.makes_several
    assert (of_messages or made) == (expected if several else [expected])


@pytest.mark.parametrize(
    ("record", "mapped"),
    [
        ({"q": "Q", "a": "R"}, {"query": "q", "response": "a"}),
        ({"src": "Q", "tgt": "R"}, {"query": "src", "response": "tgt"}),
        ({"user": "Q", "bot": "R"}, {"query": "user", "response": "bot"}),
        ({"inputs": "Q", "targets": "R"}, {"query": "inputs", "response": "targets"}),
        ({"source": "Q", "target": "R"}, {"query": "source", "response": "target"}),
        ({"article": "Q", "highlights": "R"}, {"query": "article", "response": "highlights"}),
        ({"document": "Q", "summary": "R"}, {"query": "document", "response": "summary"}),
        ({"prompt": "Q", "completion": "R", "kto_tag": True},
         {"query": "prompt", "response": "completion", "label": "kto_tag"}),
    ],
)  # fmt: skip
def test_other_names_of_a_question_and_its_answer(record, mapped):
    result, _ = picked(record)
    assert result.shape == "flat" and result.columns == mapped and not result.convert


@pytest.mark.parametrize(
    ("record", "reported"),
    [
        ({"translation": {"en": "Q", "de": "R"}}, r"mapping\.query=translation\."),
        ({"segments": [{"label": True, "text": "R"}]}, "convert.by=segments"),
        ({"prompt": "Q", "completions": ["R"], "labels": [True]}, "convert.by=steps"),
        ({"message_id": "1", "parent_id": "0", "text": "Q", "role": "prompter"}, "one message of a tree"),
    ],
)
def test_what_would_be_a_guess_is_refused_with_what_to_pass(record, reported):
    with pytest.raises(InputError, match=reported):
        picked(record)


def test_a_converter_is_taken_where_it_is_asked_for():
    record = {"question": "Q", "rationale": "because", "answer": "R"}
    _, [row] = picked(record, by="reasoning")
    assert row["messages"] == [U, {**A, "reasoning_content": "because"}]
    scored = {"prompt": "Q", "completions": ["S", "R"], "scores": [1, 2]}
    best, [row] = picked(scored, by="answers", answers="best")
    assert row["response"] == "R" and best.shape == "flat"
    pairs, [row] = picked(scored, by="answers", answers="pairs")
    assert (row["chosen"], row["rejected"], pairs.shape) == ("R", "S", "preference")


def test_messages_that_are_answered_are_no_prompt():
    result, _ = picked({"problem": "Q", "solution": "R", "answer": "4", "messages": [U, A]})
    assert result.columns["messages"] == "messages" and not result.convert


def test_a_list_is_no_answer():
    columns = columns_of([{"question": "Q", "answer": [{"score": 1, "text": "R"}]}])
    with pytest.raises(InputError, match=r"holds a list in each record, and no text; .*convert\.by=answers"):
        pick(columns, {"query": "question", "response": "answer"}, {}, {})


def put(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_records_under_a_key_are_read_by_a_path(tmp_path):
    talks = [{"data": {"messages": [U, {**A, "content": f"R{i}"}]}} for i in range(4)]
    path = put(tmp_path / "a.jsonl", *talks)
    config = forge_gpu.plan(data=path, template="chatml").config
    assert config.data.mapping.messages == "data.messages"
    settings = ["output.form=messages", "preprocessing.validation_split=0", "preprocessing.train_split=1"]
    result = forge_gpu.prepare(config, output=tmp_path / "out", settings=settings)
    lines = (tmp_path / "out/train.jsonl").read_text().splitlines()
    assert [json.loads(line)["messages"][1]["content"] for line in lines] == ["R0", "R1", "R2", "R3"]
    assert result.counts["train"] == 4


def test_a_key_with_a_dot_is_named_as_it_is():
    assert value_at({"a.b": 1, "a": {"b": 2}}, "a.b") == 1 and value_at({"a": {"b": 2}}, "a.b") == 2
    assert value_at({"a": [{"b": 1}, {"b": 2}]}, "a[*].b") == [1, 2] and value_at({"a": [1, 2]}, "a[-1]") == 2
    assert steps_of("plain") is None and steps_of("a[") is None
    assert Paths(["a.b", "c"]).keys == ("a.b", "c", "a")


def test_the_trial_tells_what_would_be_rejected(tmp_path):
    talks = ({"messages": [{**U, "content": f"Q{i}"}, {**A, "role": "critic" if i % 5 == 0 else "assistant"}]}
             for i in range(20))  # fmt: skip
    plan = forge_gpu.plan(data=put(tmp_path / "a.jsonl", *talks), template="chatml")
    assert any("4 of 20 rows looked at would be rejected: bad_messages" in note for note in plan.notes)
    assert plan.trial is not None and "Q1" in plan.trial.shown["text"]
    path = put(tmp_path / "b.jsonl", *({"messages": [U, {**A, "role": "critic"}]} for _ in range(4)))
    with pytest.raises(InputError, match=r"4 of 4 rows .*'critic'.*--force"):
        forge_gpu.plan(data=path, template="chatml")
    assert forge_gpu.plan(data=path, template="chatml", force=True).trial


def test_what_teaches_and_is_not_used_is_told(tmp_path):
    record = {"instruction": "Q", "output": "R", "rationale": "a long thought " * 9, "id": "x"}
    result = inspect([put(tmp_path / "a.jsonl", record)], convert={})
    assert len(result.warnings) == 1 and "--set data.convert.by=reasoning" in result.warnings[0]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_no_row_depends_on_how_its_values_are_spelled(tmp_path, kind):
    """Paths and converters give the same of JSON, of JSON in the fields of CSV, and of nested columns."""
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [{"instruction": f"Q{i}", "meta": {"user": i}, "instances": [{"input": "", "output": f"R{i}"}]}
               for i in range(6)]  # fmt: skip
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        put(path, *records)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(records[0])
            for record in records:
                writer.writerow([v if isinstance(v, str) else json.dumps(v) for v in record.values()])
    columns = ["data.convert.columns.query=instruction", "data.convert.columns.instances=instances"]
    settings = ["data.convert.by=instances", *columns]
    config = forge_gpu.plan(data=str(path), template="chatml", settings=settings).config
    settings = ["preprocessing.split.group=meta.user", "output.columns=[meta.user]"]
    forge_gpu.prepare(config, output=tmp_path / "out", settings=settings)
    assert len((tmp_path / "out/train.jsonl").read_text().splitlines()) == 5
    assert forge_gpu.verify(tmp_path / "out").is_valid
