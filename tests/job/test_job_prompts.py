"""Prompts without answers: what is written is what comes before the answer of the same rows with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.config.rules import broken
from forge_gpu.errors import ForgeError, InputError
from tests.job import jobs
from tests.job.test_job_token_answers import GENERATING, WHOLE
from tests.tokens.made import document

ROWS = 60
TOOL = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
ANSWER = {"role": "assistant", "content": "yes"}


def messages(number: int) -> list[dict[str, Any]]:
    """Plain ones, with a system prompt, in parts, with a name beside them, and with turns before."""
    asked: dict[str, Any] = {"role": "user", "content": f"question {number} ü"}
    match number % 5:
        case 1:
            return [{"role": "system", "content": "be brief"}, asked]
        case 2:
            return [{"role": "user", "content": [{"type": "text", "text": f"part {number}"}]}]
        case 3:
            return [asked | {"name": "ann"}]
        case 4:
            return [asked, ANSWER, {"role": "user", "content": f"and {number}?"}]
    return [asked]


QUERIES: list[dict[str, Any]] = [{"prompt": f"question {number} ü\n", "id": number} for number in range(ROWS)]
LISTS: list[dict[str, Any]] = [{"prompt": messages(number), "id": number} for number in range(ROWS)]
JINJA = {"chat_template": GENERATING, "template_kind": "jinja"}
BUILTIN = {"chat_template": "chatml", "template_kind": "builtin"}


def lines(path: Path, rows: list[dict[str, Any]], mapping: dict[str, str], **sections: Any) -> Any:
    source = jobs.write_lines(path.with_suffix(".in.jsonl"), rows)
    plan = jobs.plan(source, data={"mapping": mapping}, **{"preprocessing": WHOLE, **sections})
    return jobs.run(plan, path)


def written(path: Path, rows: list[dict[str, Any]], mapping: dict[str, str], **sections: Any) -> Any:
    return jobs.read_lines(jobs.paths(lines(path, rows, mapping, **sections))[0])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("model", [JINJA, BUILTIN], ids=["own", "built-in"])
@pytest.mark.parametrize("kind", ["query", "messages"])
def test_a_prompt_is_what_comes_before_an_answer(
    kind: str, model: dict[str, Any], compiled: bool, tmp_path: Path
) -> None:
    model = model | {"compile": compiled}
    rows = QUERIES if kind == "query" else LISTS
    alone = written(
        tmp_path / "alone", rows, {"shape": "prompt", kind: "prompt"}, model=model, output={"form": "prompt"}
    )
    if kind == "query":
        answered = [row | {"answer": "yes"} for row in QUERIES]
        mapping = {"shape": "flat", "query": "prompt", "response": "answer"}
    else:
        answered = [{"prompt": [*row["prompt"], ANSWER]} for row in LISTS]
        mapping = {"shape": "conversation", "messages": "prompt"}
    output = {"form": "prompt_completion"}
    pairs = written(tmp_path / "pairs", answered, mapping, model=model, output=output)
    assert [row["prompt"] for row in alone] == [row["prompt"] for row in pairs]
    assert len(alone) == ROWS and all(list(row) == ["prompt"] for row in alone)


def test_messages_stay_messages_under_the_name_that_trainers_ask_for(tmp_path: Path) -> None:
    asked = {"shape": "prompt", "messages": "prompt"}
    rows = written(tmp_path / "lists", LISTS, asked, output={"form": "messages", "columns": ["id"]})
    assert rows == LISTS
    asked = {"shape": "prompt", "query": "prompt"}
    rows = written(tmp_path / "queries", QUERIES, asked, output={"form": "messages"})
    assert rows == [{"prompt": [{"role": "user", "content": row["prompt"]}]} for row in QUERIES]


@pytest.mark.parametrize("kind", ["query", "messages"])
def test_records_that_stay_as_they_came_are_looked_at_as_prompts(kind: str, tmp_path: Path) -> None:
    rows = QUERIES if kind == "query" else LISTS
    preprocessing = {**WHOLE, "quality_checks": {"empty": "reject", "too_short": "reject"}}
    mapping = {"shape": "prompt", kind: "prompt"}
    output = {"form": "source"}
    assert written(tmp_path / "out", rows, mapping, output=output, preprocessing=preprocessing) == rows


def test_a_shape_of_columns_does_not_read_messages_that_are_named_beside(tmp_path: Path) -> None:
    rows = [{"q": f"q {n}", "a": f"a {n}", "m": messages(n)} for n in range(5)]
    mapping = {"shape": "flat", "query": "q", "response": "a", "messages": "m"}
    asked = written(tmp_path / "out", rows, mapping, output={"form": "messages"})
    assert [row["messages"][0]["content"] for row in asked] == [row["q"] for row in rows]


def test_prompts_become_the_tokens_of_their_texts(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    tokens = {"tokenizer": str(tmp_path), "answers": "none"}
    mapping = {"shape": "prompt", "messages": "prompt"}
    ids = written(tmp_path / "ids", LISTS, mapping, model=JINJA, tokens=tokens, output={"form": "tokens"})
    texts = written(tmp_path / "texts", LISTS, mapping, model=JINJA, output={"form": "prompt"})
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(document("qwen"))
    assert [row["prompt_ids"] for row in ids] == [
        library.encode(row["prompt"], add_special_tokens=False).ids for row in texts
    ]
    source = jobs.write_lines(tmp_path / "rows.jsonl", LISTS)
    output, answers = {"form": "tokens"}, {**tokens, "answers": "labels"}
    plan = jobs.plan(source, data={"mapping": mapping}, model=JINJA, output=output, tokens=answers)
    [fault] = [fault for rule, fault in broken(plan, ()) if rule.name == "output.form"]
    assert "which have no answers; set none" in fault


def test_messages_that_end_with_an_answer_are_refused_however_they_are_spelled(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": [*messages(number), ANSWER] if number % 2 else messages(number),
            "tools": TOOL if number > 9 else None,
        }
        for number in range(20)
    ]
    made = lines(
        tmp_path / "out",
        rows,
        {"shape": "prompt", "messages": "prompt", "tools": "tools"},
        model=BUILTIN,
        output={"form": "prompt"},
    )
    assert made.counts["train"] == 10 and made.counts["rejected"] == 10
    rejected = jobs.read_lines(made.output / "rejected.jsonl")
    assert {row["reason"] for row in rejected} == {"bad_messages"}
    assert all("a prompt is what comes before it" in row["detail"] for row in rejected)


def test_no_check_asks_for_an_answer(tmp_path: Path) -> None:
    checks = {"empty": "reject", "too_short": "reject", "repetition": "reject"}
    preprocessing = {**WHOLE, "quality_checks": checks, "dedup": {"near": {"threshold": 0.9}}}
    for kind, rows in (("query", QUERIES), ("messages", LISTS)):
        made = lines(
            tmp_path / kind,
            rows,
            {"shape": "prompt", kind: "prompt"},
            model=BUILTIN,
            output={"form": "prompt"},
            preprocessing=preprocessing,
        )
        assert made.counts["rejected"] == 0 and made.counts["train"] + made.counts["near_duplicate"] == ROWS


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        (QUERIES, "prompt"),
        ([{"messages": row["prompt"][:2]} for row in LISTS if row["id"] % 5 != 4], "prompt"),
        (
            [{"prompt": [{"role": "user", "content": f"q{n}"}], "reward": {"truth": n}} for n in range(9)],
            "prompt",
        ),
        ([{"messages": row["prompt"]} for row in LISTS if row["id"] % 5 == 4], "conversation"),
        (
            [{"messages": [{"role": "user", "content": "q"}, {"role": "critic", "content": "a"}]}] * 9,
            "conversation",
        ),
        ([{"question": f"q{n}", "response": f"a{n}"} for n in range(9)], "flat"),
    ],
)
def test_plan_takes_for_prompts_what_has_no_answer_anywhere(
    rows: list[dict[str, Any]], shape: str, tmp_path: Path
) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    try:
        plan = forge_gpu.plan(data=source, settings=["output.form=messages"], force=True)
    except ForgeError as fault:
        assert shape == "conversation", fault
        return
    assert plan.config.data.mapping.shape == shape


@pytest.mark.parametrize("beside", [{"gold": "42"}, {"value": 42}, {"solution_path": ["a", "b"]}])
def test_a_question_beside_what_may_be_its_answer_is_a_question_to_the_user(
    beside: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"what is {n}?"} | beside) + "\n" for n in range(20)))
    with pytest.raises(InputError, match=r"data\.mapping\.shape=prompt"):
        forge_gpu.plan(data=source)
    plan = forge_gpu.plan(data=source, settings=["data.mapping.shape=prompt"])
    assert plan.config.output.form == "prompt" and plan.config.data.mapping.query == "prompt"
