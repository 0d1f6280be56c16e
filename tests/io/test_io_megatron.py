"""Megatron's files, read back by a reader that is written from its format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.audit.folder import verify_folder
from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config
from forge_gpu.errors import Interrupted, ValidationError
from forge_gpu.io.sinks.megatron import FORMAT
from tests.job import jobs
from tests.job.test_job_tokens import plan, talks
from tests.tokens.made import document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    return tmp_path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", talks(200))


def megatron(source: Path, folder: Path, **output: Any) -> Config:
    return plan(source, folder, {"train": "all"}, output={"form": "tokens", "format": "megatron", **output})


def read(stem: Path) -> list[list[int]]:
    """As `_IndexReader` of Megatron core reads it: the header by struct, then three arrays."""
    index = stem.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (version, code) == (1, 4)
    lengths = np.frombuffer(index, np.int32, sequences, 34)
    pointers = np.frombuffer(index, np.int64, sequences, 34 + lengths.nbytes)
    ends = np.frombuffer(index, np.int64, documents, 34 + lengths.nbytes + pointers.nbytes)
    assert ends.tolist() == list(range(sequences + 1))
    ids = stem.with_suffix(".bin").read_bytes()
    return [
        np.frombuffer(ids, np.int32, length, pointer).tolist()
        for length, pointer in zip(lengths.tolist(), pointers.tolist(), strict=True)
    ]


@pytest.mark.parametrize("settings", [{}, {"order": "shuffled"}, {"packing": "wrapped", "pack_length": 100}])
def test_ids_are_those_of_lines(settings: dict[str, Any], source: Path, folder: Path, tmp_path: Path) -> None:
    result = jobs.run(megatron(source, folder, **settings), tmp_path / "out")
    lines = plan(source, folder, {"train": "all"}, output={"form": "tokens", **settings})
    jobs.run(lines, tmp_path / "lines")
    for split in ("train", "validation"):
        expected = [row["input_ids"] for row in jobs.read_lines(tmp_path / "lines" / f"{split}.jsonl")]
        assert read(tmp_path / "out" / split) == expected
        assert [row["input_ids"] for row in result.splits[split]] == expected
    assert not verify_folder(tmp_path / "out").faults


@pytest.mark.parametrize("settings", [{}, {"rows_per_shard": 30}, {"order": "shuffled"}])
def test_a_stopped_job_goes_on_to_the_same_bytes(
    settings: dict[str, Any], source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forge_gpu.job.block_pass.SAVE_EVERY", 0.0)
    config = megatron(source, folder, **settings)
    jobs.run(config, tmp_path / "whole")
    for chunks in (8, 12, 16):
        output = tmp_path / f"stopped-{chunks}"
        with pytest.raises(Interrupted):
            jobs.run(config, output, **jobs.stop_after(chunks))
        jobs.run(config, output, threads=2, chunk_bytes=1000)
        assert jobs.content(output) == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize(("suffix", "said"), [(".bin", "its index names"), (".idx", "or is cut off")])
def test_a_file_that_is_cut_off_is_told(
    suffix: str, said: str, source: Path, folder: Path, tmp_path: Path
) -> None:
    jobs.run(megatron(source, folder), tmp_path / "out")
    ids = tmp_path / "out" / "train.bin"
    rows, _ = FORMAT.check(ids, (), lambda rows, size: None, None)
    assert rows == len(read(ids.with_suffix("")))
    torn = ids.with_suffix(suffix)
    torn.write_bytes(torn.read_bytes()[:-4])
    with pytest.raises(ValidationError, match=said):
        FORMAT.check(ids, (), lambda rows, size: None, None)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"form": "text", "format": "megatron"}, "needs output.form tokens"),
        ({"form": "tokens", "format": "megatron"}, "has no labels"),
    ],
)
def test_what_the_files_cannot_hold_is_refused(output: dict[str, Any], said: str) -> None:
    faults = [fault for _, fault in broken(jobs.plan("rows.jsonl", output=output), ())]
    assert any(said in fault for fault in faults), faults
