"""Tokens of answers that stand apart from their prompt: of pairs, for DPO, and of one answer, for KTO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config
from forge_gpu.job.rows.answers import apart, lists_apart, longest_text, pairs
from forge_gpu.tokens.tokenizer import Tokens
from tests.job import jobs
from tests.job.test_job_tokens import FORGED, TEMPLATE, WORDS
from tests.tokens.made import document

WHOLE = {"train_split": 1.0, "validation_split": 0.0}
GENERATING = TEMPLATE + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
OF_PAIRS = {"mapping": {"shape": "preference", "query": "q", "chosen": "good", "rejected": "bad"}}
OF_ONE = {"mapping": {"shape": "flat", "query": "q", "response": "good"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Every seventh question forges a turn, and every ninth of the worse answers."""
    rows = []
    for number in range(90):
        text = " ".join(WORDS[: number % len(WORDS)])
        answers = {
            "good": f"{text} yes {number}",
            "bad": "no" * (1 + number % 3) + (FORGED if number % 9 == 0 else ""),
        }
        rows.append({"q": f"{number} {text}" + (FORGED if number % 7 == 0 else ""), **answers, "n": number})
    return jobs.write_lines(tmp_path / "rows.jsonl", rows)


def plan(source: Path, folder: Path, data: dict[str, Any], **sections: Any) -> Config:
    return jobs.plan(
        source,
        **{
            "data": data,
            "model": {"chat_template": TEMPLATE, "template_kind": "jinja"},
            "output": {"form": "tokens", "columns": ["n"]},
            "preprocessing": WHOLE,
            **sections,
            "tokens": {"tokenizer": str(folder), **sections.get("tokens", {})},
        },
    )


@pytest.mark.parametrize(
    ("data", "form", "answers"),
    [(OF_PAIRS, "preference", ["chosen", "rejected"]), (OF_ONE, "prompt_completion", ["completion"])],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_a_prompt_with_an_answer_is_the_whole_text(
    data: dict[str, Any],
    form: str,
    answers: list[str],
    compiled: bool,
    source: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    model = {"chat_template": TEMPLATE, "template_kind": "jinja", "compile": compiled}
    tokens = {} if len(answers) == 2 else {"answers": "apart"}
    made = jobs.run(plan(source, folder, data, model=model, tokens=tokens), tmp_path / "ids")
    output = {"form": form, "columns": ["n"]}
    text = jobs.run(
        jobs.plan(source, data=data, model=model, output=output, preprocessing=WHOLE), tmp_path / "text"
    )
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begins, ends = library.token_to_id("<|im_start|>"), library.token_to_id("<|im_end|>")
    counts = {"tokens": 0, "trained": 0}
    compared = 0
    for row, other in zip(*(jobs.read_lines(jobs.paths(each)[0]) for each in (made, text)), strict=True):
        assert row["n"] == other["n"]
        parts = [row[f"{answer}_ids"] for answer in answers]
        counts["tokens"] += sum(map(len, [row["prompt_ids"], *parts]))
        counts["trained"] += sum(map(len, parts))
        for answer, ids in zip(answers, parts, strict=True):
            whole = [*row["prompt_ids"], *ids]
            assert (whole.count(begins), whole.count(ends)) == (2, 2)
            assert library.decode(whole, skip_special_tokens=False) == other["prompt"] + other[answer]
            if FORGED not in other["prompt"] + other[answer]:
                assert whole == library.encode(other["prompt"] + other[answer], add_special_tokens=False).ids
                assert ids == library.encode(other[answer], add_special_tokens=False).ids
                compared += 1
    assert compared > 60
    of_all = made.manifest["tokens"]
    assert {name: of_all[name] for name in counts} == counts
    assert of_all["in"] == of_all["trained"] + of_all["prompt"] + of_all["cut"] + of_all["dropped"]
    ledger = pq.read_table(tmp_path / "ids" / "ledger.parquet").to_pydict()
    assert sum(ledger["tokens"]) == counts["tokens"] and sum(ledger["trained"]) == counts["trained"]
    assert sum(count > 0 for count in ledger["control_text"]) >= 13


def test_bytes_depend_on_nothing_but_input_and_plan(source: Path, folder: Path, tmp_path: Path) -> None:
    config = plan(source, folder, OF_PAIRS, output={"form": "tokens", "format": "parquet"})
    jobs.run(config, tmp_path / "whole")
    jobs.run(config, tmp_path / "other", threads=2, chunk_bytes=1000, range_bytes=3000)
    assert jobs.content(tmp_path / "other") == jobs.content(tmp_path / "whole")


def test_the_longer_text_of_a_pair_is_its_length(source: Path, folder: Path, tmp_path: Path) -> None:
    """Whoever trains on a pair puts an answer behind the prompt, one at a time."""
    rows = jobs.read_lines(jobs.paths(jobs.run(plan(source, folder, OF_PAIRS), tmp_path / "all"))[0])
    longest = {
        row["n"]: len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for row in rows
    }
    most = sorted(longest.values())[len(longest) // 2]
    model = {"chat_template": TEMPLATE, "template_kind": "jinja", "max_length": most}
    checks = {**WHOLE, "quality_checks": {"too_long": "reject"}}
    config = plan(source, folder, OF_PAIRS, model=model, preprocessing=checks)
    left = jobs.read_lines(jobs.paths(jobs.run(config, tmp_path / "short"))[0])
    assert [row["n"] for row in left] == [n for n, length in longest.items() if length <= most]
    assert 20 < len(left) < len(rows)
    warned = jobs.run(plan(source, folder, OF_PAIRS, model=model), tmp_path / "warned").manifest["warned"]
    assert warned["too_long"] == len(rows) - len(left)


@pytest.mark.parametrize(
    "sections",
    [
        {"tokens": {"cut": "cut_end"}, "model": {"max_length": 20}},
        {"tokens": {"train": "all"}},
        {"tokens": {"thinking": False}},
        {"output": {"form": "tokens", "packing": "bfd", "pack_length": 64}},
        {"output": {"form": "tokens", "format": "skyrl"}},
        {"output": {"form": "tokens", "for": ["trl", "axolotl"]}},
    ],
)
def test_what_answers_apart_cannot_have_is_refused(
    sections: dict[str, Any], source: Path, folder: Path
) -> None:
    for data, tokens in (
        (OF_PAIRS, {}),
        (OF_ONE, {"answers": "apart"}),
        (OF_ONE, {"answers": "none"}),
    ):
        asked = {**sections, "tokens": {**tokens, **sections.get("tokens", {})}}
        faults = [
            fault
            for rule, fault in broken(plan(source, folder, data, **asked), ())
            if rule.name == "output.form"
        ]
        assert len(faults) == 1 and " not go with " in faults[0]


@pytest.mark.parametrize("compiled", [True, False])
def test_prompts_alone_are_encoded_alone(compiled: bool, source: Path, folder: Path, tmp_path: Path) -> None:
    """As a trainer encodes them before it generates, and without a turn that a question forges."""
    model = {"chat_template": GENERATING, "template_kind": "jinja", "compile": compiled}
    made = jobs.run(plan(source, folder, OF_ONE, model=model, tokens={"answers": "none"}), tmp_path / "ids")
    output = {"form": "prompt_completion", "columns": ["n"]}
    config = jobs.plan(source, data=OF_ONE, model=model, output=output, preprocessing=WHOLE)
    text = jobs.run(config, tmp_path / "text")
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begins = library.token_to_id("<|im_start|>")
    compared, tokens = 0, 0
    for row, other in zip(*(jobs.read_lines(jobs.paths(each)[0]) for each in (made, text)), strict=True):
        assert list(row) == ["prompt_ids", "n"] and row["n"] == other["n"]
        ids, prompt = row["prompt_ids"], other["prompt"]
        assert library.decode(ids, skip_special_tokens=False) == prompt
        assert ids.count(begins) == 2 and prompt.endswith("<|im_start|>assistant\n")
        if FORGED not in prompt:
            assert ids == library.encode(prompt, add_special_tokens=False).ids
            compared += 1
        tokens += len(ids)
    assert compared > 60
    of_all = made.manifest["tokens"]
    assert (of_all["tokens"], of_all["prompt"], of_all["trained"]) == (tokens, tokens, 0)
    assert made.counts["train"] == 90


def test_edges_are_where_two_texts_part() -> None:
    """Against a plain search, of random texts that share more or less than their prompt."""
    random = np.random.default_rng(5)
    sides: list[list[tuple[list[int], int]]] = [[], []]
    for _ in range(200):
        prompt = random.integers(0, 9, random.integers(0, 6)).tolist()
        for side in sides:
            answer = random.integers(0, 3, random.integers(0, 5)).tolist()
            torn = int(random.integers(0, len(prompt) + 1)) if random.random() < 0.3 else len(prompt)
            side.append(
                ([*prompt[:torn], *random.integers(0, 9, len(prompt) - torn).tolist(), *answer], torn)
            )
    chosen, rejected = map(_tokens, sides)
    made = pairs(chosen, rejected)
    names = ["prompt_ids", "chosen_ids", "rejected_ids"]
    lists = lists_apart(made.ids, made.weights, made.offsets, names)
    one_answer = apart(chosen)
    single = lists_apart(one_answer.ids, one_answer.weights, one_answer.offsets, names[:2])
    for row, ((one, first), (other, second)) in enumerate(zip(*sides, strict=True)):
        edge = 0
        while edge < min(first, second) and one[edge] == other[edge]:
            edge += 1
        assert [_row(lists[name], row) for name in names] == [one[:edge], one[edge:], other[edge:]]
        assert [_row(single[name], row) for name in names[:2]] == [one[:first], one[first:]]
        assert made.trained[row] == len(one) + len(other) - 2 * edge
        assert made.straddling[row] == first + second - 2 * edge
        assert longest_text(made)[row] == max(len(one), len(other))


def _tokens(rows: list[tuple[list[int], int]]) -> Tokens:
    """Of rows of ids, with how many of them are read alone."""
    offsets = np.concatenate(([0], np.cumsum([len(ids) for ids, _ in rows])))
    weights = [int(place >= read) for ids, read in rows for place in range(len(ids))]
    trained = np.array([len(ids) - min(read, len(ids)) for ids, read in rows], np.int64)
    none = np.zeros(len(rows), np.int64)
    ids = np.array([number for ids, _ in rows for number in ids], np.uint32)
    return Tokens(ids, np.array(weights, np.uint8), offsets, trained, none, none)


def _row(lists: tuple[np.ndarray, np.ndarray], row: int) -> list[int]:
    values, offsets = lists
    ids: list[int] = values[offsets[row] : offsets[row + 1]].tolist()
    return ids
