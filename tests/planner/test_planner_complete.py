"""Plans that were made without data, the design's first schema among them, once `prepare` has some."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.config.load import load
from forge_gpu.job.events.events import Event, Warned
from forge_gpu.job.output.result import Result

EXAMPLES = Path("examples").absolute()
FIRST = """\
model:
  name: meta-llama/Llama-2-7b-chat-hf
  architecture: LlamaForCausalLM
  chat_template: {template}
  max_length: 4096
  special_tokens: {{bos_token: <s>, eos_token: </s>}}
hardware:
  gpu_arch: sm_89
  vram_gb: 0.0
  compute_capability: 8.9
  recommended_batch_size: 4
  use_gpu_preprocessing: false
preprocessing:
  train_split: 0.8
  validation_split: 0.2
  chunk_size: 1000
  quality_checks: {checks}
  streaming_threshold_gb: 1.0
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("support.jsonl", "chat.jsonl"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(**arguments: object) -> tuple[Result, list[str]]:
    reported: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Warned):
            reported.append(event.message)

    return forge_gpu.prepare(on_event=hear, **arguments), reported  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["support.jsonl", "chat.jsonl"])
@pytest.mark.parametrize("template", ["llama", "chatml", "'{instruction} {output}'"])
def test_the_first_schema_is_completed_once(data: str, template: str, place: Path) -> None:
    if data == "chat.jsonl" and "{" in template:
        pytest.skip("there are no such columns")
    text = FIRST.format(template=template, checks="true")
    (place / "forge.yaml").write_text(text)
    result, reported = prepared(data=data)
    assert result.counts["train"] > 40
    assert (place / "forge.yaml.v0.bak").read_text() == text and not (place / "forge.yaml.bak").exists()
    assert any("migrated from version 0" in line for line in reported)
    assert any("vram_gb: 0 is left out" in line for line in reported)
    assert any("quality_checks: true taken as" in line for line in reported)
    assert any(line.startswith("chosen for the data: data.mapping.") for line in reported)
    written = load(place / "forge.yaml", environ={})
    assert written.warnings == () and written.config.version == 1
    assert written.config.preprocessing.train_split == 0.8 and written.config.model.max_length == 4096
    assert written.config.hardware.compute_capability == "8.9" and written.config.hardware.vram_gb is None
    again, reported = prepared(data=data)
    assert again.was_finished and reported == []


def test_checks_switched_off_are_off(place: Path) -> None:
    (place / "forge.yaml").write_text(FIRST.format(template="llama", checks="false"))
    prepared(data="support.jsonl")
    checks = load(place / "forge.yaml", environ={}).config.preprocessing.quality_checks
    assert (checks.empty, checks.mojibake, checks.min_characters) == ("off", "off", 3)


def test_a_plan_of_a_goal_alone(place: Path) -> None:
    plan = forge_gpu.plan("support assistant")
    assert plan.config.model.name and plan.config.model.template_kind == "builtin"
    assert plan.config.data.inputs == [] and plan.config.preprocessing.train_split == 0.9
    plan.save("forge.yaml")
    result, reported = prepared(data="chat.jsonl", settings=["preprocessing.seed=7"])
    assert result.manifest["config"]["preprocessing"]["seed"] == 7
    assert any(line.endswith("the plan as it was is forge.yaml.bak") for line in reported)
    written = load("forge.yaml", environ={}).config
    assert written.preprocessing.seed == 42 and written.data.mapping.messages == "messages"
    assert written.model == plan.config.model


def test_a_config_without_data_is_completed_in_memory(place: Path) -> None:
    config = forge_gpu.ForgeConfig(
        model=forge_gpu.select_optimal_model("support", forge_gpu.detect_hardware()),
        hardware=forge_gpu.detect_hardware(),
        preprocessing=forge_gpu.PreprocessingConfig(train_split=0.5, validation_split=0.5),
    )
    result, _ = prepared(config=config, data="support.jsonl")
    assert abs(result.counts["train"] - result.counts["validation"]) <= 1
    assert sorted(path.name for path in place.iterdir()) == ["chat.jsonl", "prepared", "support.jsonl"]


def test_a_plan_without_data_and_no_data_given_says_so(place: Path) -> None:
    forge_gpu.plan("support assistant").save("forge.yaml")
    with pytest.raises(forge_gpu.ForgeError, match=r"no data|no input"):
        prepared()
