"""Mixtures whose shares are of tokens that are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forge_gpu.config.rules import broken
from tests.job import jobs
from tests.job.test_job_tokens import TEMPLATE
from tests.tokens.made import document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    return made


def test_shares_are_of_trained_tokens(folder: Path, tmp_path: Path) -> None:
    """Answers of one input are much longer than those of the other."""
    files = [
        jobs.write_lines(
            tmp_path / f"{name}.jsonl",
            [
                {"q": f"{name} {number}", "a": f"{number} " + "yes " * (number % 5 * length)}
                for number in range(rows)
            ],
        )
        for name, rows, length in (("long", 60, 9), ("short", 200, 1))
    ]
    shape = {"shape": "flat", "query": "q", "response": "a"}
    data: dict[str, Any] = {
        "inputs": list(map(str, files)),
        "mapping": shape,
        "weights": [1.0, 1.0],
        "weights_by": "tokens",
    }
    sections: dict[str, Any] = {
        "model": {"chat_template": TEMPLATE, "template_kind": "jinja"},
        "output": {"form": "tokens"},
        "tokens": {"tokenizer": str(folder)},
    }
    config = jobs.plan(data=data, **sections)
    result = jobs.run(config, tmp_path / "out")
    jobs.run(config, tmp_path / "other", threads=2, chunk_bytes=1000, range_bytes=3000)
    assert jobs.content(tmp_path / "other") == jobs.content(tmp_path / "out")
    long, short = result.manifest["mixture"]
    share = min(long["trained"], short["trained"])
    for entry in (long, short):
        assert share - 60 < entry["trained_used"] <= share
        assert 0 < entry["used"] <= entry["rows"]
    assert long["used"] < 60 and long["used"] < short["used"]
    splits = result.manifest["tokens"]["splits"].values()
    assert sum(split["trained"] for split in splits) == long["trained_used"] + short["trained_used"]
    by_rows = jobs.plan(data=data | {"weights_by": "rows"}, **sections)
    assert [entry["used"] for entry in jobs.run(by_rows, tmp_path / "rows").manifest["mixture"]] == [60, 60]


@pytest.mark.parametrize(("weights", "form"), [(None, "tokens"), ([1.0, 1.0], "text")])
def test_what_has_no_tokens_or_weights_is_refused(
    weights: list[float] | None, form: str, folder: Path
) -> None:
    data = {"inputs": ["a", "b"], "weights": weights, "weights_by": "tokens"}
    config = jobs.plan(data=data, output={"form": form}, tokens={"tokenizer": str(folder)})
    assert [rule.name for rule, _ in broken(config, ())] == ["data.weights_by"]
