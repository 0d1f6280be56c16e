"""Property 4: data larger than the memory at hand is processed, by streaming, inside that memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 2**20
BUDGET, BEYOND = 16, 64
"""MiB beside what the imports hold: those of the plan, and those that docs/memory.md says come on top."""
A_ROW = 24
"""Bytes of the decisions, which lie in mapped files."""

SCRIPT = """
import json, sys, forge_gpu
small, large, folder, budget = sys.argv[1:]
memory = {"budget": int(budget), "threads": 1}
config = forge_gpu.ForgeConfig.model_validate({
    "data": {"mapping": {"query": "q", "response": "a"}},
    "model": {"chat_template": "chatml", "template_kind": "builtin"},
    "preprocessing": {"memory": memory},
    "output": {"report": False},
})
before = forge_gpu.prepare(config, data=small, output=folder + "/small")
result = forge_gpu.prepare(config, data=large, output=folder + "/large")
print(json.dumps([result.used_streaming, result.peak_memory - before.peak_memory, result.counts["train"]]))
"""


@pytest.mark.slow
@settings(max_examples=2, deadline=None)
@given(st.integers(2 * (BUDGET + BEYOND), 3 * (BUDGET + BEYOND)), st.integers(50, 5000))
def test_memory_efficiency(size: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large.jsonl"), Path(folder, "small.jsonl")
        rows = size * MIB // (length + 30)
        with large.open("w") as file:
            file.writelines(f'{{"q": "question {n}", "a": "{"x" * length}"}}\n' for n in range(rows))
        small.write_text('{"q": "question", "a": "answer"}\n' * 20)
        command = [sys.executable, "-c", SCRIPT, str(small), str(large), folder, str(BUDGET * MIB)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        used_streaming, more_memory, train = json.loads(done.stdout)
        dataset_size, available_memory = large.stat().st_size, (BUDGET + BEYOND) * MIB + A_ROW * rows
        assert dataset_size > available_memory or length < 100
        assert used_streaming is True
        assert more_memory < available_memory
        assert train == int(rows * 0.9 + 0.5)
