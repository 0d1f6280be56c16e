"""Samples are shown with what is trained of them, as the output has it."""

from __future__ import annotations

import json
from pathlib import Path

from forge_gpu.report.samples import CONTROL, TRAINED, segments_of
from tests.job import jobs

MESSAGES = [
    {"role": "user", "content": "Q1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "Q2"},
    {"role": "assistant", "content": "A2"},
]


def test_a_builtin_trains_every_turn_of_the_assistant(tmp_path: Path) -> None:
    plan = jobs.plan(
        tmp_path / "rows.jsonl",
        data={"mapping": {"shape": "conversation", "messages": "messages"}},
        model={"chat_template": "chatml", "template_kind": "builtin"},
    )
    (segments,) = segments_of(plan, [json.dumps({"messages": MESSAGES}).encode()])
    assert segments is not None
    trained = [text for text, flags in segments if flags & TRAINED]
    assert trained == ["A1", "<|im_end|>", "A2", "<|im_end|>"]
    assert {flags & CONTROL for text, flags in segments if text.startswith("<|im_")} == {CONTROL}
