"""Tokens of pairs, and of answers that stand apart, in TRL's own trainers: DPO and KTO."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.report.trainers import lines_for_trainers
from tests.job import jobs
from tests.trainers import environment
from tests.trainers.environment import ROOT, run

require = pytest.fixture(autouse=True)(environment.require)


@pytest.mark.parametrize("answers", [("chosen", "rejected"), ("completion",)])
def test_the_lines_that_a_run_prints_train(answers: tuple[str, ...], tmp_path: Path) -> None:
    source = jobs.write_lines(
        tmp_path / "rows.jsonl",
        [
            {
                "prompt": f"question {number}",
                **{name: name * (1 + number % 3) for name in answers},
                "label": number % 2 == 0,
            }
            for number in range(24)
        ],
    )
    tokenizer = ROOT / "examples" / "tokenizer.json"
    settings = ["output.form=tokens", "output.format=parquet", f"tokens.tokenizer={tokenizer}"]
    if len(answers) == 1:
        settings += ["tokens.answers=apart", "output.columns=[label]"]
    plan = forge_gpu.plan("", data=[source], template="chatml", settings=settings)
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    heading, *lines = lines_for_trainers(result.manifest, result.output)
    assert heading == "for trl:"
    pasted = tmp_path / "pasted.py"
    pasted.write_text("".join(f"{line.removeprefix('  ')}\n" for line in lines))
    script = ROOT / "tests" / "trainers" / "load_answers_trl.py"
    seen = json.loads(run(tmp_path, str(script), str(tmp_path), str(tokenizer), str(pasted)))
    rows: list[dict[str, Any]] = list(result.splits["train"])
    assert len(rows) > 15
    trained = [row[f"{name}_ids"] for name in answers for row in rows]
    assert seen["trained"] == trained
    assert seen["all"] == [row["prompt_ids"] + row[f"{name}_ids"] for name in answers for row in rows]
    assert seen["steps"] == 2 and math.isfinite(seen["loss"])
