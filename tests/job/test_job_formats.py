"""A format that the package does not have: one module, registered by its name, and a job writes it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import Interrupted, OutputError
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.sinks import registry
from forge_gpu.io.sinks.base import (
    Field,
    FileFormat,
    OnBlock,
    OutputPath,
    Positions,
    Sink,
    SplitRows,
    Written,
)
from forge_gpu.io.sinks.shards import Shards
from forge_gpu.kernels.layout import Text
from forge_gpu.plain import frozen
from tests.job import jobs


class LengthsFile:
    """Two files a shard: the lengths of its lines, and their number."""

    def __init__(self, folder: Path, stem: str, rows: int, positions: Positions) -> None:
        self._folder, self._stem, self._rows = folder, stem, rows
        unfinished = folder / f"{stem}.tsv.growing"
        self._file = GrowingFile(unfinished, positions.get(unfinished.name, 0))

    def append(self, lines: Text) -> None:
        self._file.write("".join(f"{length}\n" for length in np.diff(lines.offsets)).encode())

    def begin_sync(self) -> None:
        self._file.begin_sync()

    def sync(self) -> Positions:
        self._file.sync()
        return {self._file.path.name: self._file.position()}

    def finish(self) -> list[Written]:
        lengths, count = self._folder / f"{self._stem}.tsv", self._folder / f"{self._stem}.count"
        lengths.write_bytes(self._file.content(0, self._file.position()))
        count.write_text(f"{self._rows}\n")
        return [Written(lengths, self._rows), Written(count, 0)]

    def close(self) -> None:
        self._file.close()


@frozen
class Lengths(FileFormat):
    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        shards = super().names(stem, rows, rows_per_shard)
        return [(lengths, lengths.replace(".tsv", ".count")) for (lengths,) in shards]

    def is_own(self, file: str, stem: str) -> bool:
        return super().is_own(file.replace(".count", ".tsv"), stem)

    def open(self, folder: Path, split: SplitRows, positions: Positions) -> Sink:
        def shard(stem: str, rows: int, positions: Positions) -> Sink:
            return LengthsFile(folder, stem, rows, positions)

        return Shards(shard, split, positions)

    def room(self, lines: int) -> int:
        return lines // 100

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        if path.suffix == ".tsv":
            with path.open("rb") as file:
                yield pa.record_batch({"length": pa.array([int(line) for line in file])})

    def check(
        self,
        path: Path,
        fields: Sequence[Field],
        on_block: OnBlock,
        beside: Executor | None,
    ) -> tuple[int, str]:
        data = path.read_bytes()
        rows = data.count(b"\n") if path.suffix == ".tsv" else 0
        on_block(rows, len(data))
        return rows, hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("lengths")
    module.FORMAT = Lengths(".tsv", (".tsv.growing",))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "forge_gpu.io.sinks.lengths", module)
    monkeypatch.setattr(registry, "NAMES", (*registry.NAMES, "lengths"))


@pytest.mark.parametrize("output", [{}, {"rows_per_shard": 70}, {"order": "shuffled", "rows_per_shard": 70}])
def test_a_job_writes_resumes_checks_and_removes_it(output: dict[str, object], tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", [*jobs.rows(400), {"instruction": "no answer"}])
    lines = jobs.run(jobs.plan(source, output=output), tmp_path / "lines")
    plan = jobs.plan(source, output=output)
    plan = plan.model_copy(update={"output": plan.output.model_copy(update={"format": "lengths"})})
    out = tmp_path / "out"
    result = jobs.run(plan, out, threads=2)
    for split, made in result.splits.items():
        lengths = np.concatenate([batch["length"].to_numpy() for batch in made.iter_batches()])
        texts = b"".join(path.read_bytes() for path in lines.splits[split].paths)  # type: ignore[union-attr]
        assert lengths.tolist() == [len(line) + 1 for line in texts.split(b"\n")[:-1]]
        assert len(lengths) == made.rows
    named = [entry["file"] for entry in result.manifest["outputs"]]
    assert "rejected.jsonl" in named and sum(file.endswith(".count") for file in named) == len(named) // 2
    ledger = pq.read_table(out / "ledger.parquet", columns=["shard"])["shard"].cast("string")
    assert {shard for shard in ledger.to_pylist() if shard} == {file for file in named if ".tsv" in file}
    assert sorted({path.name for path in out.iterdir()} - {".forge"}) == sorted(
        [*named, "ledger.parquet", "manifest.json"]
    )

    with pytest.raises(Interrupted):
        jobs.run(plan, tmp_path / "again", **jobs.stop_after(17))
    jobs.run(plan, tmp_path / "again")
    assert jobs.content(tmp_path / "again") == jobs.content(out)

    jobs.run(jobs.plan(source, output=output), out)  # another format: what was there of this one goes
    assert jobs.content(out) == jobs.content(tmp_path / "lines")


def test_a_file_that_could_be_of_the_format_is_not_written_over(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(10))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train-00000-of-00002.tsv").write_text("mine")
    with pytest.raises(OutputError, match="no run of Forge wrote it"):
        jobs.run(jobs.plan(source), tmp_path / "out")
