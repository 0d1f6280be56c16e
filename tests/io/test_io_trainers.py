"""Every trainer's files hold the batch that the lines of the form `tokens` hold, whoever wrote them and
however often they were stopped. One table: a format, its reader."""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Set
from importlib import import_module
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import forge_gpu
from forge_gpu.audit.folder import verify_folder
from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config, Trainer
from forge_gpu.errors import Interrupted, OutputError, ValidationError
from forge_gpu.io.sinks.registry import NAMES, OF_MESSAGES, OF_TOKENS, format_of
from forge_gpu.report.trainers import LOADERS, lines_for_trainers, templates
from forge_gpu.share.card.features import features_of
from forge_gpu.share.prepared import open_prepared
from tests.io import killed
from tests.io.trainer_readers import READERS, targets_of
from tests.job import jobs
from tests.job.test_job_tokens import plan, talks
from tests.tokens.made import document

SPLITS = ("train", "validation")


def columns_of(format: str) -> list[str]:
    return list(import_module(f"forge_gpu.io.sinks.{format}").FORMAT.codec.types)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    jobs.write_lines(made / "rows.jsonl", talks(150))
    return made


def config_of(folder: Path, format: str, **output: Any) -> Config:
    holds = OF_TOKENS.get(format)
    tokens = {} if holds is None or holds.labels else {"train": "all"}
    if holds is not None and holds.packs:
        output = {"packing": "bfd", "pack_length": 200} | output
    return plan(folder / "rows.jsonl", folder, tokens, output={"form": "tokens", "format": format, **output})


def lines_of(config: Config, output: Path) -> dict[str, list[dict[str, Any]]]:
    """The same rows as lines of JSON."""
    own = config.output.model_copy(update={"format": "jsonl"})
    jobs.run(config.model_copy(update={"output": own}), output)
    return {split: jobs.read_lines(output / f"{split}.jsonl") for split in SPLITS}


OF_ONE = {*NAMES} - LOADERS.keys()
"""The formats of one trainer each."""


@pytest.mark.parametrize(
    ("needed", "there", "todo"),
    [
        (
            OF_ONE,
            {*OF_TOKENS, *OF_MESSAGES},
            "OF_TOKENS or OF_MESSAGES of io/sinks/registry.py: what it holds",
        ),
        (OF_TOKENS.keys(), {*READERS, "megatron"}, "READERS of tests/io/trainer_readers.py: a reader"),
        (
            OF_ONE | {*get_args(Trainer)},
            {key for key in templates() if " " not in key},
            "report/trainers.yaml: what to write for the trainer",
        ),
    ],
    ids=["what it holds", "reader", "lines for the trainer"],
)
def test_nothing_of_a_format_is_forgotten(needed: Set[str], there: Set[str], todo: str) -> None:
    lacking, unknown = sorted(needed - there), sorted(there - needed)
    assert not lacking, f"add {lacking} to {todo} (docs/development.md, 'To add a format')"
    assert not unknown, f"no format or trainer has these names: {unknown} in {todo}"


@pytest.mark.parametrize("format", READERS)
def test_the_batch_is_that_of_the_lines(format: str, folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, format)
    result = jobs.run(config, tmp_path / "out")
    lines = lines_of(config, tmp_path / "lines")
    for split in SPLITS:
        read = list(READERS[format](tmp_path / "out" / split))
        assert len(read) == len(lines[split]) > 1
        for (ids, targets, lengths), line in zip(read, lines[split], strict=True):
            own = line.get("seq_lengths", [len(line["input_ids"])])
            trained = [label != -100 for label in line["labels"]]
            assert ids == line["input_ids"] and targets == targets_of(ids, trained, own)
            assert lengths in (own, None) and (lengths is None) != OF_TOKENS[format].packs
        # What Forge reads back of them, but for what the trainer never predicts.
        for mine, line in zip(result.splits[split], lines[split], strict=True):
            assert mine.keys() <= line.keys() and mine["input_ids"] == line["input_ids"]
            begins: Any = np.cumsum([0, *line.get("seq_lengths", [])[:-1]]) if OF_TOKENS[format].packs else []
            labels = np.array(line["labels"])
            labels[np.array(begins, np.int64)] = -100
            assert mine.get("labels", line["labels"]) == labels.tolist()
    assert not verify_folder(tmp_path / "out").faults
    said = "\n".join(lines_for_trainers(result.manifest, tmp_path / "out"))
    named = re.findall(rf"{re.escape(str(tmp_path))}[^\"\s]+", said)
    assert named and all(Path(path).exists() for path in named)
    features = features_of(open_prepared(tmp_path / "out"))
    assert features is None or [feature["name"] for feature in features] == columns_of(format)
    batches = forge_gpu.open(tmp_path / "out").reader("train", shuffle=False)
    assert [batch.input_ids.tolist() for batch in batches] == [line["input_ids"] for line in lines["train"]]


@pytest.mark.parametrize("format", READERS)
def test_a_stopped_job_goes_on_to_the_same_bytes(
    format: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forge_gpu.job.block_pass.SAVE_EVERY", 0.0)
    config = config_of(folder, format, packing="none", pack_length=None, rows_per_shard=40)
    jobs.run(config, tmp_path / "whole")
    output = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        jobs.run(config, output, **jobs.stop_after(10))
    jobs.run(config, output, threads=2, chunk_bytes=1000)
    assert jobs.content(output) == jobs.content(tmp_path / "whole")


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Children of a process that has imported what they need, and nothing more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.io.killed"])
    return context


@pytest.mark.parametrize("format", ["jsonl", "parquet", *OF_TOKENS])
def test_a_job_that_is_killed_goes_on_to_the_same_bytes(
    format: str, folder: Path, tmp_path: Path, processes: ForkServerContext
) -> None:
    config = config_of(folder, format, packing="none", pack_length=None)
    jobs.run(config, tmp_path / "whole")
    chunk = 8 + len(format) % 4  # not each at the same
    child = processes.Process(target=killed.run, args=(config.model_dump_json(), tmp_path / "killed", chunk))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "manifest.json").exists()
    jobs.run(config, tmp_path / "killed", threads=2, chunk_bytes=1000)
    assert jobs.content(tmp_path / "killed") == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("format", "alone"),
    [
        ("swift", ["data-00000-of-00001.arrow", "dataset_info.json", "state.json"]),
        ("mds", ["index.json", "shard.00000.mds"]),
        ("litdata", ["chunk-0-0.bin", "index.json"]),
    ],
)
def test_folders_of_several_shards(format: str, alone: list[str], folder: Path, tmp_path: Path) -> None:
    unpacked = {"packing": "none", "pack_length": None}
    config = config_of(folder, format, rows_per_shard=40, **unpacked)
    result = jobs.run(config, tmp_path / "out")
    read = [ids for ids, _, _ in READERS[format](tmp_path / "out" / "train")]
    assert read == [row["input_ids"] for row in result.splits["train"]] and len(read) > 80
    assert not verify_folder(tmp_path / "out").faults
    # Another format, and fewer shards, leave nothing of it behind.
    jobs.run(config_of(folder, format, **unpacked), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "train").iterdir()) == alone
    jobs.run(config_of(folder, "jsonl"), tmp_path / "out")
    assert not (tmp_path / "out" / "train").exists()


@pytest.mark.parametrize("format", ["mds", "litdata"])
def test_a_shard_with_places_beyond_a_u32_is_refused(
    format: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forge_gpu.io.sinks.framed.MOST", 10_000)
    with pytest.raises(OutputError, match=r"less than 4 GiB, .*: set output.rows_per_shard"):
        jobs.run(config_of(folder, format), tmp_path / "out")


def test_a_folder_of_someone_elses_stays(folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "train" / "state.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    with pytest.raises(OutputError, match="already exists, and no run of Forge wrote it"):
        jobs.run(config_of(folder, "swift"), tmp_path / "out")
    assert theirs.read_text() == "{}"


@pytest.mark.parametrize("format", READERS)
def test_what_a_format_cannot_say_is_refused(format: str, folder: Path) -> None:
    faults: dict[str, dict[str, Any]] = {
        "it needs output.form tokens": {"form": "text"},
        "holds tokens alone": {"columns": ["n"]},
    }
    if not OF_TOKENS[format].packs:
        faults["does not say where the rows of a pack begin"] = {"packing": "bfd", "pack_length": 200}
    for said, output in faults.items():
        config = config_of(folder, format, **({"packing": "none"} | output))
        assert any(said in fault for _, fault in broken(config, ())), said


@pytest.mark.parametrize(
    ("format", "suffix", "said"),
    [
        ("nanogpt", ".bin", "its head does not fit its index"),
        ("nanogpt", ".bos.idx", "buffer size must be a multiple"),
        ("olmo", ".token_ids.npy", "do not follow each other to the end"),
        ("olmo", ".labels_mask.npy", "has not a byte for each"),
        ("olmo", ".token_ids.csv.gz", "ended before the end-of-stream"),
        ("mds", "/shard.00000.mds", "do not follow each other to its end"),
        ("litdata", "/chunk-0-0.bin", "do not follow each other to its end"),
    ],
)
def test_files_that_do_not_fit_together_are_told(
    format: str, suffix: str, said: str, folder: Path, tmp_path: Path
) -> None:
    jobs.run(config_of(folder, format, packing="none", pack_length=None), tmp_path / "out")
    own = format_of(format)
    (ids, *_), *_ = own.names(str(tmp_path / "out" / "train"), 1, None)
    assert own.check(Path(ids), (), lambda rows, size: None, None)[0] > 100
    torn = tmp_path / "out" / f"train{suffix}"
    torn.write_bytes(torn.read_bytes()[: -1 if suffix == ".bos.idx" else -4])
    with pytest.raises(ValidationError, match=said):
        own.check(Path(ids), (), lambda rows, size: None, None)
