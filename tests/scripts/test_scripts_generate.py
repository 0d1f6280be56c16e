"""Scripts made from plans against `prepare`: the same bytes, for many plans, or a line that says why not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import forge_gpu
from forge_gpu.cli.app import app
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, OutputError
from forge_gpu.scripts.generate import ModelAwareScriptGenerator
from tests.job import jobs

NAMES = ("train.jsonl", "validation.jsonl", "test.jsonl")
TEXTS = [
    "",
    " \t",
    "hi",
    "ça va\n",
    '\u2028\u2029 \\ / "',
    "\x7f\x00\x1f",
    "\U0001f600",
    "{query}{response}",
    "</s>",
]


def awkward_rows(count: int, seed: int) -> bytes:
    """Lines of every kind: good ones, repeated ones, and each way to be bad."""
    chance = random.Random(seed)
    lines = []
    for number in range(count):
        row: dict[str, Any] = {
            "instruction": chance.choice(TEXTS) + str(number // 2),
            "input": chance.choice(["", None, "more", " "]),
            "output": chance.choice([*TEXTS, number, 1.50, True]),
        }
        if chance.random() < 0.1:
            row.pop(chance.choice(list(row)))
        if chance.random() < 0.1:
            row[chance.choice(list(row))] = None
        line = json.dumps(row, ensure_ascii=chance.random() < 0.5).encode("utf-8")
        lines.append(
            chance.choice(
                [line] * 20
                + [
                    line[:-1],
                    b"[1]",
                    b"",
                    b" ",
                    line + b"\r",
                    b'{"output": "\xff"}',
                    b'{"instruction":"\\ud800","output":"x"}',
                    b"NaN",
                ]
            )
        )
    return b"\xef\xbb\xbf" * (seed % 2) + b"\n".join(lines) + b"\n" * (seed % 3 > 0)


def plan_of(seed: int, folder: Path) -> Config:
    chance = random.Random(seed)
    inputs = []
    for number in range(chance.randint(1, 2)):
        path = folder / f"rows{number}.jsonl"
        path.write_bytes(awkward_rows(chance.choice([3, 60, 150]), 10 * seed + number))
        inputs.append(str(path))
    validation, test = chance.choice([(0.1, 0.0), (0.15, 0.05), (0.5, 0.5), (0.0, 0.0), (0.333, 0.1)])
    return Config.model_validate(
        {
            "data": {
                "inputs": inputs,
                "mapping": {
                    "shape": "flat",
                    "query": "instruction",
                    "response": "output",
                    "input": chance.choice([None, "input"]),
                },
            },
            "model": {
                "chat_template": chance.choice(["chatml", "llama", "alpaca", "gemma", "vicuna"]),
                "template_kind": "builtin",
                "append_eos": chance.random() < 0.3,
            },
            "preprocessing": {
                "train_split": round(1 - validation - test, 6),
                "validation_split": validation,
                "test_split": test,
                "seed": chance.choice([0, 42, 2**62]),
                "dedup": {"exact": chance.random() < 0.7},
                "quality_checks": {"empty": chance.choice(["reject", "warn", "off"])},
            },
        }
    )


def run_script(text: str, folder: Path, output: Path) -> None:
    path = folder / f"{output.name}.py"
    path.write_text(text)
    subprocess.run([sys.executable, str(path), str(output)], check=True, capture_output=True, cwd=folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES if (folder / name).exists()}


@pytest.mark.parametrize("seed", range(14))
def test_a_plain_script_makes_the_bytes_of_prepare(seed: int, tmp_path: Path) -> None:
    plan = plan_of(seed, tmp_path)
    result = forge_gpu.prepare(plan, output=tmp_path / "forge")
    run_script(
        ModelAwareScriptGenerator(tmp_path, plain=True).generate_script(plan, []),
        tmp_path,
        tmp_path / "plain",
    )
    made = contents(tmp_path / "plain")
    assert {name: made.get(name, b"") for name in NAMES} == {
        name: contents(tmp_path / "forge").get(name, b"") for name in NAMES
    }
    assert seed or result.counts["rejected"] > 0


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({}, id="flat"),
        pytest.param({"output": {"form": "prompt_completion", "order": "shuffled"}}, id="pairs, shuffled"),
        pytest.param({"preprocessing": {"split": {"mode": "threshold"}, "seed": 3}}, id="threshold"),
    ],
)
def test_a_script_on_the_library_makes_the_bytes_of_prepare(sections: dict[str, Any], tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(120))
    plan = jobs.plan(source.name, **sections)
    text = ModelAwareScriptGenerator(tmp_path).generate_script(plan, ["instruction: text"])
    assert "chunk_size" in text and "'budget'" in text and "instruction: text" in text
    run_script(text, tmp_path, tmp_path / "script")
    whole = plan.model_copy(update={"data": plan.data.model_copy(update={"inputs": [str(source)]})})
    forge_gpu.prepare(whole, output=tmp_path / "forge")
    assert contents(tmp_path / "script") == contents(tmp_path / "forge")
    assert len(contents(tmp_path / "forge")) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preprocessing.dedup.near", {"threshold": 0.8}),
        ("preprocessing.split.mode", "threshold"),
        ("preprocessing.quality_checks.too_short", "reject"),
        ("output.form", "prompt_completion"),
        ("output.order", "shuffled"),
        ("data.transform", {"script": "transform.py"}),
        ("data.against", ["held.jsonl"]),
        ("data.repeats", [2]),
        ("data.max_row_bytes", 4096),
        ("preprocessing.decontamination", {"threshold": 0.8}),
        ("output.turns", "each"),
        ("data.inputs (", ["rows.json"]),
    ],
)
def test_a_plain_script_refuses_what_it_cannot_express_by_its_key(
    key: str, value: Any, tmp_path: Path
) -> None:
    jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(3))
    (tmp_path / "rows.json").write_text("[{}]")
    settings = jobs.plan("rows.jsonl").model_dump(mode="json")
    *sections, name = key.removesuffix(" (").split(".")
    section = settings
    for each in sections:
        section = section[each]
    section[name] = value
    with pytest.raises(ConfigError, match=f"a plain script cannot express {key}".replace("(", r"\(")):
        ModelAwareScriptGenerator(tmp_path, plain=True).generate_script(Config.model_validate(settings), [])


def test_hostile_words_of_a_plan_stay_words(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(5))
    settings = jobs.plan(source).model_dump(mode="json") | {
        "goal": 'x"""\nimport os; os.mkdir("taken")\n"""\\'
    }
    for plain in (True, False):
        text = ModelAwareScriptGenerator(tmp_path, plain).generate_script(
            Config.model_validate(settings), ['"""\nraise SystemExit(1)\n"""']
        )
        run_script(text, tmp_path, tmp_path / f"out{plain}")
    assert not (tmp_path / "taken").exists()


def test_the_command_writes_the_script_and_overwrites_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(30))
    (tmp_path / "forge.yaml").write_text(json.dumps(jobs.plan("rows.jsonl").model_dump(mode="json")))
    runner = CliRunner()
    for _ in range(2):
        result = runner.invoke(app, ["script", "--plain"], catch_exceptions=False)
        assert result.output == "wrote prepare_data.py\n"
    assert "instruction: text, in 30 of 30 rows" in (tmp_path / "prepare_data.py").read_text()
    with pytest.raises(OutputError, match="already exists"):
        runner.invoke(app, ["script"], catch_exceptions=False)
