"""Property 1: prepare uses exactly the model configuration that plan specified."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.config.keys import effective
from forge_gpu.templates.builtin import builtins
from tests.job import jobs

models = st.sampled_from([None, "meta-llama/Llama-2-7b-chat-hf", "lmsys/vicuna-7b-v1.5", "someone/unknown"])
templates = st.sampled_from([*builtins(), "{instruction}\n{output}"])
lengths = st.none() | st.integers(1, 10**6)
tokens = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=5)


@settings(max_examples=8, deadline=None)
@given(models, templates, lengths, tokens, st.integers(0, 2**63 - 1))
def test_config_consistency(
    model: str | None, template: str, length: int | None, token: str | None, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = jobs.write_lines(folder / "rows.jsonl", jobs.rows(12))
        given_settings = [f"preprocessing.seed={seed}"]
        given_settings += [f"model.max_length={length}"] if length else []
        given_settings += [f"model.special_tokens.pad_token={token}"] if token else []
        plan = forge_gpu.plan("chat", data=source, model=model, template=template, settings=given_settings)
        plan.save(folder / "forge.yaml")
        result = forge_gpu.prepare(folder / "forge.yaml", output=folder / "out")
        used = forge_gpu.ForgeConfig.model_validate(result.manifest["config"])
        assert effective(used) == effective(plan.config)
        assert used.model.chat_template == plan.config.model.chat_template == template
        assert used.model.max_length == (length or plan.config.model.max_length)
        assert used.model.special_tokens == plan.config.model.special_tokens
        assert used.preprocessing.seed == seed
