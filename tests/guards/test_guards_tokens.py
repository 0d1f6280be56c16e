"""Ids of the right bytes that are not those of the tokenizer end the job, whatever program wrote the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.errors import ValidationError
from forge_gpu.job.output.result import Result
from forge_gpu.job.rows.by_library import SPREAD_ROWS, ComparedRows
from forge_gpu.tokens.encoders import Gigatoken
from tests.job import jobs
from tests.tokens.made import document

ROWS, ODD = 200, 50
"""Rows of one chunk, and the place of the only one that another program writes: not one of those that are
compared for their place."""
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for call in m.tool_calls or [] %} {{ call.function.name }}{% endfor %}<|im_end|>\n{% endfor %}"
)
ASKED, ANSWERED = {"role": "user", "content": "the words of it"}, {"role": "assistant", "content": "part"}
WORD = " people"
"""Of one token; only the odd row has it."""
CALL = {"function": {"name": "f", "arguments": {}}}
BY_ANOTHER: dict[str, list[dict[str, Any]]] = {
    "a traced program": [{"role": "system", "content": f"of{WORD}"}, ASKED, ANSWERED],
    "the machine's code": [ASKED, {"role": "assistant", "content": f"of{WORD}", "tool_calls": [CALL]}],
}


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word's token becomes those of its bytes: the bytes stay right, so that nothing else can know."""
    real = Gigatoken.encode

    def wrong(self: Gigatoken, data: Any, starts: Any, stops: Any) -> Any:
        def ids_of(word: bytes) -> np.ndarray:
            return real(self, np.frombuffer(word, np.uint8), np.array([0]), np.array([len(word)]))[0]

        ids, offsets = real(self, data, starts, stops)
        [whole], apart = ids_of(WORD.encode()), np.concatenate([ids_of(bytes([b])) for b in WORD.encode()])
        pieces = [[apart if number == whole else [number] for number in each]
                  for each in np.split(ids, offsets[1:-1])]  # fmt: skip
        sizes = [sum(map(len, each)) for each in pieces]
        made = [part for each in pieces for part in each]
        return np.concatenate(made).astype(np.uint32), np.concatenate(([0], np.cumsum(sizes)))

    monkeypatch.setattr(Gigatoken, "encode", wrong)


def run(folder: Path, odd: list[dict[str, Any]]) -> Result:
    (folder / "tokenizer.json").write_text(document("qwen"))
    rows = [
        {"messages": odd if number == ODD else [{**ASKED, "content": f"{number} of it"}, ANSWERED]}
        for number in range(ROWS)
    ]
    config = jobs.plan(
        jobs.write_lines(folder / "rows.jsonl", rows),
        data={"mapping": {"shape": "conversation", "messages": "messages"}},
        model={"chat_template": TEMPLATE, "template_kind": "jinja"},
        tokens={"tokenizer": str(folder)},
        output={"form": "tokens"},
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
    )
    return jobs.run(config, folder / "out", chunk_bytes=2**20, range_bytes=2**20)


@pytest.mark.parametrize("by", BY_ANOTHER)
def test_the_first_row_of_a_program_is_compared(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says both ids of the first token that differs."""
    plant(monkeypatch)
    with pytest.raises(ValidationError, match=r"token \d+ of a row is \[\d+\], and \[\d+\] by the library"):
        run(tmp_path, BY_ANOTHER[by])
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize("by", BY_ANOTHER)
def test_without_it_the_fault_would_pass(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault is one that nothing else finds."""
    plant(monkeypatch)
    monkeypatch.setattr(ComparedRows, "choose", lambda self, program, guarded: [0, len(program) - 1])
    assert run(tmp_path, BY_ANOTHER[by]).counts["train"] == ROWS


def test_a_program_is_compared_once_and_waits_for_a_row_that_can_be() -> None:
    compared = ComparedRows()
    free, forged = np.zeros(9, np.int64), np.array([0, 1, 1, 0, 0, 0, 0, 0, 0])
    spread = {0, 2, 5, 8}
    assert len(spread) == SPREAD_ROWS
    assert {*compared.choose(np.array([0, 1, 1, 0, 0, 0, 0, 0, 0], np.int32), forged)} == spread
    assert {*compared.choose(np.array([0, 0, 0, 0, 1, 0, 3, 0, 3], np.int32), free)} == spread | {4, 6}
    assert {*compared.choose(np.array([0, 3, 0, 1, 1, 0, 3, 2, 0], np.int32), free)} == spread | {7}
    assert compared.choose(np.zeros(0, np.int32), free[:0]) == []
