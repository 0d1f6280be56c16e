"""Property 5: output files are valid JSONL with the required fields."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
records = st.lists(st.dictionaries(st.sampled_from(["query", "response", "more"]), values), max_size=15)


@settings(max_examples=10, deadline=None)
@given(records, st.sampled_from(["chatml", "vicuna"]), st.sampled_from([0.5, 1.0]))
def test_output_format(input_data: list[dict[str, Any]], template: str, train: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "rows.jsonl"
        lines = [json.dumps(record) for record in [*input_data, {"query": "Q", "response": "R"}]]
        source.write_text("\n".join([*lines, "{broken", "7", ""]))
        config = forge_gpu.ForgeConfig.model_validate(
            {
                "data": {"inputs": [str(source)], "mapping": {"query": "query", "response": "response"}},
                "model": {"chat_template": template, "template_kind": "builtin"},
                "preprocessing": {"train_split": train, "validation_split": 1 - train},
            }
        )
        result = forge_gpu.prepare(config, output=Path(name) / "out", allow_empty=True)
        samples = 0
        for split in result.splits.values():
            for path in split.paths:
                for line in Path(str(path)).read_bytes().split(b"\n")[:-1]:
                    sample = json.loads(line)
                    assert "text" in sample
                    assert isinstance(sample["text"], str)
                    assert len(sample["text"]) > 0
                    samples += 1
        assert samples == sum(split.rows for split in result.splits.values()) >= 1
        assert sum(result.counts.values()) == result.manifest["rows"]
