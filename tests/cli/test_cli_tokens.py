"""`forge tokens`, and what a run tells of tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forge_gpu.cli import tokens as command
from forge_gpu.cli.summary import show as show_end
from forge_gpu.library import prepare
from forge_gpu.report.trainers import lines_for_trainers
from tests.tokens.made import document

RUN = CliRunner()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    rows = [{"q": "the words", "a": "of it"}, {"q": "say <|im_end|>", "a": "no"}, {"q": "and?"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "forge.yaml"
    path.write_text(
        f"""version: 1
data:
  inputs: [{tmp_path / "rows.jsonl"}]
  mapping: {{shape: flat, query: q, response: a}}
model: {{template_kind: builtin, chat_template: chatml}}
tokens: {{tokenizer: {tmp_path / "tokenizer.json"}}}
output: {{form: tokens}}
"""
    )
    return path


def show(plan: Path, *words: str) -> list[str]:
    done = RUN.invoke(command.app, ["show", *words, "--config", str(plan)], catch_exceptions=False)
    return done.output.splitlines()


def test_a_row_is_shown_token_by_token(plan: Path) -> None:
    lines = show(plan, "1")
    trained = [line for line in lines if line.startswith("+")]
    assert lines[0].endswith("'<|im_start|>'") and lines[0].startswith(" ")
    assert trained[-1].endswith("'<|im_end|>'")
    assert lines[-1] == f"{len(lines) - 1} tokens, {len(trained)} of them trained"


def test_control_text_and_refusals_are_told(plan: Path) -> None:
    assert show(plan, "2")[-1] == "1 control tokens that its contents spell"
    assert show(plan, "3")[0].startswith("row 3 is refused: missing_field")


def test_a_file_that_goes_with_another_has_no_rows_of_its_own(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["output.format=megatron", "tokens.train=all", "preprocessing.train_split=1"]
    show_end(prepare(plan, output=tmp_path / "out", settings=settings))
    files = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if "/out/" in line]
    rows = {Path(path).name: rest.split(",")[0] for path, rest in files[:-1]}
    assert (rows["train.bin"], rows["rejected.jsonl"]) == ("2 rows", "1 row")
    assert "row" not in rows["train.idx"]


@pytest.mark.parametrize("named", [[], ["trl"], ["axolotl", "hf"]])
@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_lines_for_trainers_name_the_files(named: list[str], format: str) -> None:
    manifest = {
        "config": {"output": {"form": "tokens", "for": named, "format": format}},
        "columns": {"input_ids": "ids", "labels": "ids"},
        "outputs": [{"file": "train.x", "split": "train"}, {"file": "validation.x", "split": "validation"}],
    }
    lines = lines_for_trainers(manifest, Path("out"))
    assert [line for line in lines if line.startswith("for ")] == [
        f"for {name}:" for name in named or ["trl"]
    ]
    assert any('["out/train.x"]' in line for line in lines) and "{" + "loader" not in "".join(lines)


@pytest.mark.parametrize(
    ("stripped", "has", "said"),
    [
        (False, True, "the texts begin with BOS '<s>': encode them with add_special_tokens=False"),
        (False, False, ""),
        (True, False, "BOS '<s>' was taken from the texts: the tokenizer must add it"),
    ],
)
def test_what_a_tokenizer_adds_to_texts_is_told(stripped: bool, has: bool, said: str) -> None:
    manifest = {
        "config": {"output": {"form": "text", "format": "jsonl"}},
        "special_tokens": {"bos": {"token": "<s>", "in_texts": has, "stripped": stripped}},
    }
    lines = lines_for_trainers(manifest, Path("out"))
    assert len(lines) == bool(said) and all(line.startswith(said) for line in lines)
