"""Frames as the input of plan, prepare and stream, and plans over frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.errors import ConfigError
from tests.frames.test_frames_dask import partitioned

SETTINGS = [
    "preprocessing.split.stratify=[kind, half]",
    "preprocessing.train_split=0.7",
    "preprocessing.validation_split=0.2",
    "preprocessing.test_split=0.1",
    "output.columns=[kind, score, when]",
]
FRAME = pd.DataFrame(
    {
        "question": [f"how does {n % 90} work?" for n in range(300)],
        "answer": [None if n % 41 == 0 else f'"it" works\nas {n % 90}é' for n in range(300)],
        "kind": [f"k{n % 3}" for n in range(300)],
        "half": [n % 2 for n in range(300)],
        "score": [n / 4 for n in range(300)],
        "when": pd.date_range("2024-01-01", periods=300, freq="h"),
    }
)
KINDS: dict[str, Any] = {
    "pandas": lambda: FRAME,
    "arrow": lambda: pa.Table.from_pandas(FRAME, preserve_index=False),
    "records": lambda: FRAME.astype({"when": str}).to_dict("records"),
    "dask": lambda: partitioned(FRAME, [7, 7, 150]),
}


def lines(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


@pytest.mark.parametrize("kind", ["pandas", "arrow", "dask"])
def test_a_frame_is_prepared_as_its_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = KINDS[kind]()
    plan = forge_gpu.plan(data=frame, template="chatml", settings=SETTINGS)
    assert plan.config.data.inputs == [] and plan.config.data.mapping.query == "question"
    forge_gpu.prepare(plan.config, data=frame, output="of_frame")
    FRAME.to_parquet("raw.parquet")
    expected = forge_gpu.prepare(plan.config, data="raw.parquet", output="of_file")
    assert lines(tmp_path / "of_frame").keys() == lines(tmp_path / "of_file").keys()
    for name, data in lines(tmp_path / "of_frame").items():
        if name != "rejected.jsonl":
            assert data == (tmp_path / "of_file" / name).read_bytes()
    assert expected.counts["train"] > 50
    ledgers = [
        pq.read_table(f"{name}/ledger.parquet").drop_columns(["file", "duplicate_of_file"])
        for name in ("of_frame", "of_file")
    ]
    assert ledgers[0].to_pylist() == ledgers[1].to_pylist()
    streamed = list(forge_gpu.stream(plan.config, data=frame, split="validation", as_="pandas"))
    assert pd.concat(streamed)["text"].tolist() == expected.splits["validation"].to_pandas()["text"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_apply_is_prepare_row_for_row(kind: str, tmp_path: Path) -> None:
    frame = KINDS[kind]()
    config = forge_gpu.plan(data=frame, template="alpaca", settings=SETTINGS).config
    result = forge_gpu.prepare(config, data=frame, output=tmp_path / "out")
    applied = forge_gpu.open_engine("cpu").apply(frame, config)
    assert applied.splits.keys() == result.splits.keys() == {"train", "validation", "test"}
    for name, split in result.splits.items():
        matches = applied.splits[name]
        assert type(matches) is type(frame)
        assert _table(matches).to_pylist() == split.to_arrow().to_pylist()
    ledger = pq.read_table(result.ledger_path)
    assert _table(applied.ledger).to_pylist() == ledger.to_pylist() and len(ledger) == 300


def _table(frame: Any) -> pa.Table:
    if isinstance(frame, list):
        return pa.Table.from_pylist(frame)
    if hasattr(frame, "compute"):
        frame = frame.compute()
    return frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)


def test_an_open_plan_is_completed_for_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forge_gpu.plan("support").save("forge.yaml")
    applied = forge_gpu.open_engine("cpu").apply(FRAME, "forge.yaml")
    assert len(applied.splits["train"]) > 50
    forge_gpu.prepare(data=FRAME)
    written = forge_gpu.load_config()
    assert written.data.inputs == [] and written.data.mapping.response == "answer"


def test_evaluation_rows_may_be_a_frame(tmp_path: Path) -> None:
    config = forge_gpu.plan(data=FRAME, template="chatml").config
    exam = FRAME[["question"]].head(5)
    result = forge_gpu.prepare(config, data=FRAME, against=exam, output=tmp_path / "out")
    assert result.counts["contaminated"] > 0


@pytest.mark.parametrize("mode", ["temporal", "threshold"])
@pytest.mark.parametrize("setting", ["stratify=kind", "stratify=[kind, half]", "group=kind"])
def test_what_a_mode_cannot_honour_is_refused_in_jobs(mode: str, setting: str) -> None:
    settings = [f"preprocessing.split.mode={mode}", "preprocessing.split.time=when"]
    with pytest.raises(ConfigError, match=f"needs mode exact: it is {mode}"):
        forge_gpu.plan(data=FRAME, template="chatml", settings=[*settings, f"preprocessing.split.{setting}"])


def test_texts_without_utf8_are_rejected_as_in_a_file(tmp_path: Path) -> None:
    frame = pa.table({"q": pa.array([b"ok", b"\xff"]).cast(pa.binary()), "a": ["x", "y"]})
    config = forge_gpu.ForgeConfig.model_validate(
        {
            "data": {"mapping": {"query": "q", "response": "a"}},
            "model": {"chat_template": "chatml", "template_kind": "builtin"},
        }
    )
    result = forge_gpu.prepare(config, data=frame, output=tmp_path / "out")
    assert result.manifest["rejected"] == {"invalid_utf8": 1}
