"""The design's names: each is imported, each signature called, each is in docs/design-map.md."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import forge_gpu
import forge_gpu.events
from forge_gpu import pipeline
from forge_gpu.deprecations import deprecations
from forge_gpu.errors import ConfigError, TemplateError

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "docs/design-map.md").read_text()
TEMPLATES = {
    "chatml": "<|im_start|>user\n{query}<|im_end|>\n<|im_start|>assistant\n{response}<|im_end|>",
    "llama": "<s>[INST] {query} [/INST] {response} </s>",
    "alpaca": "### Instruction:\n{query}\n\n### Response:\n{response}",
    "gemma": "<start_of_turn>user\n{query}<end_of_turn>\n<start_of_turn>model\n{response}<end_of_turn>",
    "vicuna": "USER: {query}\nASSISTANT: {response}",
}
FIELDS = {
    "ForgeConfig": "model hardware preprocessing",
    "ModelConfig": "name architecture chat_template max_length special_tokens",
    "HardwareConfig": "gpu_arch vram_gb compute_capability recommended_batch_size use_gpu_preprocessing",
    "PreprocessingConfig": "train_split validation_split chunk_size quality_checks streaming_threshold_gb",
}
SIGNATURES = {
    "ChatTemplateRegistry": {"get_template": "model_name", "validate_template": "template sample_data"},
    "ModelDetector": {"detect_template": "model_name"},
    "DockerPreprocessor": {
        "__init__": "config",
        "execute_preprocessing": "script data_path",
        "prepare_container": "",
    },
    "ModelAwareScriptGenerator": {
        "__init__": "config",
        "generate_script": "metadata analysis",
        "get_preprocessing_prompt": "",
    },
    "DataQualityValidator": {
        "__init__": "config",
        "validate_input": "data_path",
        "validate_output": "output_path",
    },
    "AdvancedSplitter": {
        "__init__": "config",
        "stratified_split": "data",
        "temporal_split": "data time_column",
    },
    "StreamingProcessor": {
        "__init__": "config",
        "process_large_dataset": "data_path",
        "_calculate_chunk_size": "",
    },
    "ProgressTracker": {"__init__": "total_samples", "update": "batch_size", "save_checkpoint": "state"},
    "ModelAwarePreprocessor": {"__init__": "config", "process_dataset": "path"},
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_the_schema(name: str) -> None:
    section = getattr(forge_gpu, name)
    assert section.__name__ == name and set(FIELDS[name].split()) <= section.model_fields.keys()
    assert f"`{name}" in MAP


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    made = getattr(pipeline, name)
    for method, given in SIGNATURES[name].items():
        parameters = [
            p for p in inspect.signature(getattr(made, method)).parameters.values() if p.name != "self"
        ]
        needed = [p.name for p in parameters if p.default is inspect.Parameter.empty]
        assert needed == given.split(), method
        assert method == "__init__" or f"{method}" in MAP
    assert f"`{name}" in MAP


def test_no_row_of_the_map_is_without_an_answer() -> None:
    rows = [line.split(" | ") for line in MAP.splitlines() if line.startswith("| ")]
    assert len(rows) > 50
    assert all(len(row) == 2 and len(row[1].strip(" |")) > 5 for row in rows if row[1] != "where |")
    named = re.findall(r"`([a-z]+/[\w/]*(?:\.\w+)?)`", MAP)
    lacking = [
        name for name in named if not any((ROOT / home / name).exists() for home in ("forge_gpu", "."))
    ]
    assert lacking == []
    assert len((ROOT / "forge_gpu/pipeline.py").read_text().splitlines()) <= 300


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("design")
    shutil.copy(ROOT / "examples/support.jsonl", folder / "support.jsonl")
    return folder


@pytest.fixture(scope="module")
def config(place: Path) -> forge_gpu.ForgeConfig:
    return forge_gpu.plan("support", data=place / "support.jsonl", template="chatml").config


def test_templates() -> None:
    registry, detector = pipeline.ChatTemplateRegistry, pipeline.ModelDetector()
    assert registry.TEMPLATES == TEMPLATES
    assert detector.MODEL_MAPPINGS["microsoft/DialoGPT"] == "chatml"
    for name, template in detector.MODEL_MAPPINGS.items():
        assert detector.detect_template(f"{name}-7b") == template
        assert registry.get_template(f"{name}-7b") == TEMPLATES[template]
    assert registry.get_template("vicuna") == TEMPLATES["vicuna"]
    with pytest.raises(TemplateError, match="llama-3"):
        detector.detect_template("meta-llama/Llama")
    sample = {"query": "Q", "response": "R"}
    assert registry.validate_template("llama", sample) is True
    assert registry.validate_template(TEMPLATES["llama"], sample) is True
    assert registry.validate_template("{query} {lacking}", sample) is False
    assert registry.validate_template("{query", sample) is False
    assert registry.validate_template("llama", {"query": "Q", "response": None}) is False


def test_quality_and_a_whole_job(config: forge_gpu.ForgeConfig, place: Path) -> None:
    preprocessor = pipeline.ModelAwarePreprocessor(config)
    assert preprocessor.process_dataset(place / "support.jsonl", place / "out") is True
    assert preprocessor.result is not None
    validator = pipeline.DataQualityValidator(config.preprocessing)
    report = validator.validate_input(place / "support.jsonl")
    assert isinstance(report, forge_gpu.QualityReport) and report.rows > 190
    checked = validator.validate_output(place / "out")
    assert isinstance(checked, forge_gpu.ValidationReport) and checked.is_valid
    frames = list(pipeline.StreamingProcessor(config).process_large_dataset(place / "support.jsonl"))
    assert (
        pd.concat(frames)["text"].tolist() == preprocessor.result.splits["train"].to_pandas()["text"].tolist()
    )


def test_chunks(config: forge_gpu.ForgeConfig, place: Path) -> None:
    chosen = config.preprocessing.model_copy(update={"chunk_size": 50})
    processor = pipeline.StreamingProcessor(config.model_copy(update={"preprocessing": chosen}))
    assert processor.chunk_size == 50
    assert max(map(len, processor.process_large_dataset(place / "support.jsonl"))) <= 50
    assert pipeline.StreamingProcessor(config).chunk_size > 100


def test_splits() -> None:
    data = pd.DataFrame({"text": [f"t{n}" for n in range(100)], "kind": [n % 4 for n in range(100)]})
    data["when"] = pd.date_range("2024-01-01", periods=100)
    preprocessing = forge_gpu.PreprocessingConfig.model_validate(
        {"train_split": 0.75, "validation_split": 0.25, "split": {"stratify": ["kind"]}}
    )
    splitter = pipeline.AdvancedSplitter(preprocessing)
    train, validation = splitter.stratified_split(data)
    assert (len(train), len(validation)) == (75, 25)
    assert abs(train["kind"].value_counts() - 18.75).max() <= 1
    train, validation = splitter.temporal_split(data, "when")
    assert train["when"].max() < validation["when"].min()
    with pytest.raises(ConfigError, match="test_split must be 0"):
        pipeline.AdvancedSplitter(forge_gpu.PreprocessingConfig(train_split=0.8, test_split=0.1))


def test_progress(tmp_path: Path) -> None:
    tracker = pipeline.ProgressTracker(10, tmp_path / "state.json")
    assert tracker.eta is None
    tracker.update(4)
    assert tracker.processed_samples == 4 and tracker.eta is not None and tracker.eta >= 0
    tracker.save_checkpoint({"epoch": 1})
    assert json.loads((tmp_path / "state.json").read_text()) == {"processed_samples": 4, "epoch": 1}
    tracker.update(6)
    assert tracker.eta == 0


def test_scripts(config: forge_gpu.ForgeConfig) -> None:
    generator = pipeline.ModelAwareScriptGenerator(config)
    assert generator.template_engine.TEMPLATES == TEMPLATES
    script = generator.generate_script({"inputs": [ROOT / "examples/chat.jsonl"]}, "two columns")
    compile(script, "script.py", "exec")
    assert "chat.jsonl" in script and "support.jsonl" not in script and "two columns" in script
    assert "def transform(row" in generator.get_preprocessing_prompt()
    with pytest.raises(ConfigError, match="metadata: rows: unknown"):
        generator.generate_script({"rows": 7}, "")


def test_containers(config: forge_gpu.ForgeConfig) -> None:
    assert pipeline.DockerPreprocessor(config).container_name


def test_the_plan_command_of_the_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hardware = forge_gpu.detect_hardware()
    model = forge_gpu.select_optimal_model("support assistant", hardware)
    config = forge_gpu.ForgeConfig(
        model=model, hardware=hardware, preprocessing=forge_gpu.PreprocessingConfig(chunk_size=100)
    )
    assert forge_gpu.save_config(config, "forge.yaml") is None
    assert forge_gpu.load_config("forge.yaml") == config
    Path("forge.yaml").write_text("train_split: 0.9\nvalidation_split: 0.1\n")
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        assert forge_gpu.load_config().preprocessing.train_split == 0.9
    assert "migrated from version 0" in str(reported[0].message) and len(reported) == 3


def test_deprecations_are_told_and_documented(capfd: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/deprecations.md").read_text()
    rows = re.findall(r"^\| `(.+)` \| `(.+)` \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(name, about.rather, about.until) for name, about in deprecations().items()]
    with pytest.warns(DeprecationWarning, match=r"ForgeConfig: it works until Forge 1\.0"):
        old: Any = forge_gpu.Config
    assert old is forge_gpu.ForgeConfig
    with pytest.warns(DeprecationWarning, match=r"use forge_gpu\.events"):
        from forge_gpu.job.events import StageDone
    assert StageDone is forge_gpu.events.StageDone
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert forge_gpu.ForgeConfig.__name__ == "ForgeConfig"
    from forge_gpu.cli import app

    assert app._run(["preprocess", "--help"], debug=False) == 0
    reported = capfd.readouterr()
    assert (
        "forge preprocess is the old name of prepare" in reported.err
        and "Usage: forge prepare" in reported.out
    )
