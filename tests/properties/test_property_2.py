"""Property 2: every output sample applies the template to its input, without loss or corruption."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.templates.builtin import builtins

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.sampled_from(
    ["{response}", "{{", "%s", "<|im_end|>", "\\n\n\r\t\x00", "\u2028\U0001f600", '"quoted"']
)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=12, unique=True)


@settings(max_examples=10, deadline=None)
@given(pairs, st.sampled_from([*builtins()]), st.booleans())
def test_template_application(input_data: list[tuple[str, str]], template: str, ascii_only: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "rows.jsonl"
        rows = [{"query": query, "response": response} for query, response in input_data]
        lines = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
        source.write_text(lines, encoding="utf-8", newline="")
        config = forge_gpu.ForgeConfig.model_validate(
            {
                "data": {"inputs": [str(source)], "mapping": {"query": "query", "response": "response"}},
                "model": {"chat_template": template, "template_kind": "builtin"},
                "preprocessing": {
                    "train_split": 1.0,
                    "validation_split": 0.0,
                    "quality_checks": dict.fromkeys(("empty",), "off"),
                    "dedup": {"exact": False},
                },
            }
        )
        result = forge_gpu.prepare(config, output=Path(name) / "out")
        output_data = list(result.splits["train"])
        assert len(output_data) == len(input_data)
        for input_sample, output_sample in zip(rows, output_data, strict=True):
            expected = builtins()[template].template.format(**input_sample)
            assert output_sample["text"] == expected
