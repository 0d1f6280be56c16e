"""Samples are shown with what is trained of them, as the output has it."""

from __future__ import annotations

import json
from pathlib import Path

import orjson

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.report.collect import ReportCollector, report_of
from forge_gpu.report.samples import CONTROL, HEADING, TRAINED, segments_of
from tests.job import jobs
from tests.job.test_job_token_cuts import ledger
from tests.job.test_job_tokens import TEMPLATE, plan
from tests.tokens.made import document

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


def test_tokens_are_shown_as_they_are_written_with_cuts_and_packs(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    long = [
        *MESSAGES,
        {"role": "user", "content": "more " * 40},
        {"role": "assistant", "content": "yes " * 40},
    ]
    source = jobs.write_lines(
        tmp_path / "rows.jsonl", [{"messages": MESSAGES, "n": 0}, {"messages": long, "n": 1}]
    )
    config = plan(
        source,
        tmp_path,
        {"cut": "cut_end"},
        model={"chat_template": TEMPLATE, "template_kind": "jinja", "max_length": 48},
        preprocessing={
            "quality_checks": {"too_long": "reject"},
            "train_split": 1.0,
            "validation_split": 0.0,
            "test_split": 0.0,
        },
        output={"form": "tokens", "packing": "bfd", "for": ["trl"]},
    )
    budget = Budget(2**24, 1, 4096, "a test")
    spec = JobSpec(config, tmp_path, tmp_path / "out")
    result = prepare(spec, budget, CpuEngine, lambda event: None, lambda: None, collector=ReportCollector([]))
    made = segments_of(config, source.read_bytes().splitlines())
    for segments in made:
        assert segments is not None
        assert {flags & TRAINED for _, flags in segments} == {0, TRAINED}
        assert any(flags & CONTROL for _, flags in segments)
    assert [text for text, flags in made[0] or () if flags & HEADING] == []
    (cut,) = [text for text, flags in made[1] or () if flags & HEADING]
    rows = {row["row"]: row for row in ledger(tmp_path / "out")}
    assert cut == f"{rows[1]['cut_tokens']} tokens were cut off"
    page = report_of(tmp_path / "out", result.manifest)
    data = orjson.loads(
        page.partition(b'<script id="data" type="application/json">')[2].partition(b"</script>")[0]
    )
    assert {sample["pack"] for sample in data["samples"]} == {
        f"row {row['place'] + 1} of pack {row['line']} in {row['shard']}" for row in rows.values()
    }
