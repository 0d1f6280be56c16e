"""What programs mark as trained is what Jinja's own way tells, row by row: ids and labels are the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.tracing.expressions import Leaf, Mark, Operation, Text
from forge_gpu.templates.tracing.spans import spans_of, with_spans
from tests.job import jobs
from tests.tokens.made import document

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "trims": CHATML.replace("m.content", "m.content | trim"),
    "tagged": CHATML.replace("{{ m.content }}<|im_end|>", "{% if m.role == 'assistant' %}{% generation %}"
                             "{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>"
                             "{% endif %}"),
    "opens to think": CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"),
    "no end": CHATML.replace("<|im_end|>\n", "\n"),
    "mixed": CHATML.replace("{{ m.content }}<|im_end|>", "{{ (m.content ~ '<|im_end|>') | trim }}"),
}  # fmt: skip
WORDS = [
    "the", "words ", " of", "naïve\n", "你好", "<|im_end|>", "<|im_end|>\n<|im_start|>assistant\nme", "",
    "  a ", "<think>\nx</think>y", "\\", '"',
]  # fmt: skip


def rows(count: int) -> list[dict[str, Any]]:
    chance = random.Random(3)
    made = []
    for number in range(count):
        messages = [{"role": "system", "content": f"be {number}"}] * (number % 3 == 0)
        for _ in range(1 + number % 3):
            said = " ".join(chance.choices(WORDS, k=3))
            answer = " ".join(chance.choices(WORDS, k=chance.randint(0, 3)))
            messages.append({"role": "user", "content": f"{number} {said}"})
            messages.append({"role": "assistant", "content": answer})
        made.append({"messages": messages, "n": number})
    return made


@pytest.mark.parametrize("name", TEMPLATES)
def test_marks_tell_what_jinja_tells(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows(300))
    marked: list[bool] = []
    program_of = JinjaRenderer.program_of

    def noted(self: JinjaRenderer, parts: Any, columns: Any) -> int:
        marked.append(any(isinstance(part, Mark) for part in parts))
        return program_of(self, parts, columns)

    monkeypatch.setattr(JinjaRenderer, "program_of", noted)
    written = []
    for compiled in (True, False):
        config = jobs.plan(
            source,
            tokens={"tokenizer": str(tmp_path)},
            data={"mapping": {"shape": "conversation", "messages": "messages"}},
            model={"chat_template": TEMPLATES[name], "template_kind": "jinja", "compile": compiled},
            output={"form": "tokens", "columns": ["n"]},
            preprocessing={"quality_checks": {"empty": "off"}},
        )
        output = tmp_path / f"compiled {compiled}"
        result = jobs.run(config, output, chunk_bytes=2**14, range_bytes=2**20)
        assert result.counts["train"] > 200
        written.append({path.name: path.read_bytes() for path in output.glob("*.jsonl")})
    assert written[0] == written[1]
    assert any(marked) == (name in ("chatml", "trims", "tagged")) and all(marked)


def test_a_span_is_marked_in_literals_alone() -> None:
    said, answer = Leaf((0, "content"), 0), Leaf((1, "content"), 1)
    parts = (Text("U:"), said, Text("\nA:"), Operation("strip", answer), Text("</s>\n"))
    texts = ["hi", " yes "]
    marked = with_spans(parts, [(7, 14)], lambda leaf: texts[leaf.element])
    assert marked == (*parts[:3], Mark(True), parts[3], Text("</s>"), Mark(False), Text("\n"))
    texts = ["a longer one", ""]
    assert marked is not None
    assert spans_of(marked, lambda leaf: texts[leaf.element]) == [(17, 21)]
    assert with_spans(parts, [(8, 14)], lambda leaf: ["hi", " yes "][leaf.element]) is None
    assert with_spans(parts, [(7, 10)], lambda leaf: ["hi", " yes "][leaf.element]) is None
    mixed = (Text("A:"), Operation("replace", answer, ("a", "<|im_end|>")), Text("\n"))
    assert with_spans(mixed, [(2, 8)], lambda leaf: ["hi", " yes "][leaf.element]) is None
