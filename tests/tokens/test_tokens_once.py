"""Each text is encoded once: whatever a job cuts, packs, repeats, or goes on with after a stop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.config.schema import Config
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.token_layout import Runs
from forge_gpu.tokens.tokenizer import Tokenizer, Tokens
from tests.guards.planted import stop_in
from tests.job import jobs
from tests.tokens.made import document

ROWS = 90
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CHUNKS = {"chunk_bytes": 2000, "range_bytes": 6000}
KINDS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "cut by tokens": {"tokens": {"cut": "cut_end"}, "model": {"max_length": 24}},
    "split": {"tokens": {"cut": "split"}, "model": {"max_length": 24}},
    "packed": {"output": {"packing": "bfd", "pack_length": 512}},
    "cut, wrapped, shuffled": {
        "tokens": {"cut": "cut_start"},
        "model": {"max_length": 40},
        "output": {"packing": "wrapped", "pack_length": 64, "order": "shuffled"},
    },
    "a mixture with repeats": {
        "data": {"weights": [0.8, 0.2], "weights_by": "tokens", "repeats": [3, 1]},
    },
    "a packed mixture with repeats": {
        "data": {"weights": [0.8, 0.2], "weights_by": "tokens", "repeats": [3, 1]},
        "output": {"packing": "bfd", "pack_length": 512, "order": "shuffled"},
    },
}
COUNTED_AHEAD = [name for name in KINDS if name != "as they are"]
"""Plans with a token pass: what they write needs no tokenizer."""


def row(number: int) -> dict[str, Any]:
    talk = [
        {"role": "user", "content": f"the words of {number}"},
        {"role": "assistant", "content": "part " * (number % 9) + f"yes {number}"},
    ]
    return {"messages": talk * (1 + number % 3)}


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Two files; some rows of the first come twice."""
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    rows = [row(number) for number in range(ROWS)]
    return [
        jobs.write_lines(tmp_path / "one.jsonl", rows[:30] + rows[3:7]),
        jobs.write_lines(tmp_path / "two.jsonl", rows[30:]),
    ]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each text has been given to a tokenizer."""
    counts: Counter[str] = Counter()
    real = Tokenizer.encode

    def counted(self: Tokenizer, texts: Text, literals: Runs, trained: Runs) -> Tokens:
        counts.update(texts.row(number).decode() for number in range(len(texts)))
        return real(self, texts, literals, trained)

    monkeypatch.setattr(Tokenizer, "encode", counted)
    return counts


def plan(inputs: list[Path], kind: str) -> Config:
    sections: dict[str, Any] = {
        "data": {"mapping": {"shape": "conversation", "messages": "messages"}},
        "model": {"chat_template": TEMPLATE, "template_kind": "jinja"},
        "tokens": {"tokenizer": str(inputs[0].parent)},
        "output": {"form": "tokens"},
    }
    for name, values in KINDS[kind].items():
        sections[name] = sections.get(name, {}) | values
    return jobs.plan(*inputs, **sections)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_encodes_each_row_once(
    kind: str, inputs: list[Path], encoded: Counter[str], tmp_path: Path
) -> None:
    jobs.run(plan(inputs, kind), tmp_path / "out", **CHUNKS)
    assert len(encoded) == ROWS
    assert set(encoded.values()) == {1}


@pytest.mark.parametrize("kind", COUNTED_AHEAD)
def test_a_job_that_goes_on_with_writing_encodes_nothing(
    kind: str, inputs: list[Path], encoded: Counter[str], tmp_path: Path
) -> None:
    config = plan(inputs, kind)
    stop_in(config, tmp_path / "out", "write", **CHUNKS)
    assert len(encoded) == ROWS
    encoded.clear()
    assert jobs.run(config, tmp_path / "out", **CHUNKS).manifest["run"]["resumed"]
    assert not encoded


@pytest.mark.parametrize("kind", ["as they are", "packed"])
def test_a_job_that_goes_on_encodes_the_rest(
    kind: str, inputs: list[Path], encoded: Counter[str], tmp_path: Path
) -> None:
    """Of the chunks that were not done; the range in which it was stopped is made anew."""
    config, stage = plan(inputs, kind), "write" if kind == "as they are" else "encode"
    stop_in(config, tmp_path / "out", stage, chunks=4, **CHUNKS)
    before = encoded.copy()
    assert 0 < len(before) < ROWS
    encoded.clear()
    assert jobs.run(config, tmp_path / "out", **CHUNKS).manifest["run"]["resumed"]
    assert set(encoded.values()) == {1}
    assert len({*before, *encoded}) == ROWS
    assert len(encoded) < ROWS
