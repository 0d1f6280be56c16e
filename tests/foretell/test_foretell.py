"""What is said of a job, beside what the job does."""

from __future__ import annotations

import gzip
import json

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest

import forge_gpu
from forge_gpu.errors import ForgeError, InputError, OutputError
from forge_gpu.foretell.describe import describe, short
from forge_gpu.foretell.duplicates import duplicates
from forge_gpu.foretell.foretell import foretell, require_fit
from forge_gpu.foretell.interval import Interval
from forge_gpu.hardware.rates import read_rates
from forge_gpu.job.state.spec import JobSpec
from tests.foretell import made

PART = 2**20


@pytest.fixture(autouse=True)
def own_rates(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_RATES", str(tmp_path / "rates.json"))


def spec_of(path, folder, **output):
    return JobSpec(made.config(path, **output), folder, folder / "prepared")


def test_a_small_input_is_foretold_exactly(tmp_path):
    plan = made.config(made.write(tmp_path / "a.jsonl", 300, copies=0.3))
    said = forge_gpu.estimate(plan, output=tmp_path / "prepared")
    came = forge_gpu.prepare(plan, output=tmp_path / "prepared")
    assert {fate: said.rows[fate].value for fate in came.counts} == came.counts
    assert said.rows["train"] == Interval.exact(came.counts["train"])
    assert said.duplicates == Interval.exact(came.counts["duplicate"]) and came.counts["duplicate"]
    assert said.disk["files"].value == sum(file["bytes"] for file in came.manifest["outputs"])
    assert said.sampled["share"] == 1


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet", "arrow", "arrows", "json"])
def test_a_part_of_each_format_tells_rows_and_bytes_of_the_whole(tmp_path, kind):
    rows = 12_000
    lines = made.write(tmp_path / "a.jsonl", rows)
    path = tmp_path / f"b.{kind}"
    table = pyarrow.json.read_json(lines)
    if kind == "jsonl":
        path = lines
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines.read_bytes(), 1))
    elif kind == "csv":
        pyarrow.csv.write_csv(table, path)
    elif kind == "parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=1000)
    elif kind.startswith("arrow"):
        maker = pyarrow.ipc.new_file if kind == "arrow" else pyarrow.ipc.new_stream
        with maker(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
    else:
        path.write_text("[" + ",\n".join(lines.read_text().splitlines()) + "]")
    said = foretell(spec_of(path, tmp_path), 1.0, most=path.stat().st_size // 6)
    assert said.sampled["share"] < 0.25
    assert said.rows["all"].value == pytest.approx(rows, rel=0.03)
    came = forge_gpu.prepare(made.config(path), output=tmp_path / "prepared")
    files = sum(file["bytes"] for file in came.manifest["outputs"])
    assert said.disk["files"].value == pytest.approx(files, rel=0.03)
    assert said.disk["files"].low <= files <= said.disk["files"].high


@pytest.mark.parametrize("seed", range(3))
def test_the_bounds_hold_where_half_of_the_rows_are_copies(tmp_path, seed):
    path = made.write(tmp_path / "a.jsonl", 20_000, seed, copies=0.5)
    said = foretell(spec_of(path, tmp_path), 1.0, most=path.stat().st_size // 50)
    gone = forge_gpu.prepare(made.config(path), output=tmp_path / "prepared").counts["duplicate"]
    assert said.duplicates.low <= gone <= said.duplicates.high
    assert said.duplicates.value < gone / 2, "a sample cannot see them, or the bounds are not needed"


def test_the_bounds_hold_where_a_file_is_there_twice(tmp_path):
    path = made.write(tmp_path / "a.jsonl", 10_000)
    path.write_bytes(path.read_bytes() * 2)
    said = foretell(spec_of(path, tmp_path), 1.0, most=path.stat().st_size // 20)
    assert said.duplicates.low <= 10_000 <= said.duplicates.high


def test_bounds_of_few_rows_without_copies_are_wide_and_of_all_are_none():
    assert duplicates(8, 1000, 0.01, 1).high >= 50_000
    assert duplicates(0, 1000, 1.0, 1) == Interval.exact(0)
    assert duplicates(3, 1000, 0.5, 1, known=77) == Interval.exact(77)


def test_the_last_run_tells_what_goes(tmp_path):
    path = made.write(tmp_path / "a.jsonl", 20_000, copies=0.4)
    plan = made.config(path)
    counts = forge_gpu.prepare(plan, output=tmp_path / "prepared").counts
    said = foretell(JobSpec(plan, tmp_path, tmp_path / "prepared"), 0.5, most=PART // 4)
    assert said.duplicates_known and said.duplicates == Interval.exact(counts["duplicate"])
    assert said.rows["train"] == Interval.exact(counts["train"])
    other = plan.model_copy(update={"preprocessing": plan.preprocessing.model_copy(update={"seed": 1})})
    assert not foretell(JobSpec(other, tmp_path, tmp_path / "p"), 0.5, most=PART // 4).duplicates_known


def test_the_same_data_and_seed_give_the_same_rows_and_bytes(tmp_path):
    path = made.write(tmp_path / "a.jsonl", 5_000)
    first, second = (foretell(spec_of(path, tmp_path), 0.5, most=PART // 4, note=False) for _ in range(2))
    assert (first.rows, first.disk["files"], first.duplicates) == (
        second.rows,
        second.disk["files"],
        second.duplicates,
    )


def test_the_run_compares_itself_and_the_manifest_has_both(tmp_path):
    plan = made.config(made.write(tmp_path / "a.jsonl", 400))
    said = forge_gpu.estimate(plan, output=tmp_path / "prepared")
    run = forge_gpu.prepare(plan, output=tmp_path / "prepared").manifest["run"]
    assert run["foretold"] == said.figures
    assert run["measured"].keys() == run["foretold"].keys()
    assert run["measured"]["output_bytes"] == run["foretold"]["output_bytes"]
    other = forge_gpu.prepare(plan, output=tmp_path / "other", settings=["preprocessing.seed=5"])
    assert "foretold" not in other.manifest["run"]


def test_what_was_far_off_is_told(tmp_path):
    path = made.write(tmp_path / "a.jsonl", 3_000, copies=0.9)
    plan = made.config(path)
    foretell(JobSpec(plan, tmp_path, tmp_path / "prepared"), 0.2, most=PART // 16)
    run = forge_gpu.prepare(plan, output=tmp_path / "prepared").manifest["run"]
    assert run["foretold"]["rows"] > 2 * run["measured"]["rows"]
    assert any("rows, " in line and "that forge estimate said" in line for line in run["warnings"])


def test_an_estimate_changes_no_output(tmp_path):
    plan = made.config(made.write(tmp_path / "a.jsonl", 300))
    one = forge_gpu.prepare(plan, output=tmp_path / "one")
    forge_gpu.estimate(plan, output=tmp_path / "two")
    two = forge_gpu.prepare(plan, output=tmp_path / "two")
    assert [file["sha256"] for file in one.manifest["outputs"]] == [
        file["sha256"] for file in two.manifest["outputs"]
    ]


def test_what_will_not_fit_is_refused_with_the_reason(tmp_path, monkeypatch):
    path = made.write(tmp_path / "a.jsonl", 200)
    monkeypatch.setattr("forge_gpu.foretell.foretell.free_space", lambda folder: 1000)
    said = foretell(spec_of(path, tmp_path), 0.2)
    with pytest.raises(OutputError, match=r"will take .* KiB, 1000 bytes are free"):
        require_fit(said)
    assert len(said.refusals) == 1 and said.refusals[0] in short(said)


def test_what_cannot_be_foretold_is_one_line(tmp_path):
    with pytest.raises(InputError, match="its size is not known"):
        forge_gpu.estimate(made.config(tmp_path / "-"), data="-", output=tmp_path / "prepared")
    with pytest.raises(ForgeError, match="no such file"):
        forge_gpu.estimate(made.config(tmp_path / "none.jsonl"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert forge_gpu.estimate(made.config(empty), output=tmp_path / "p").rows["all"].value == 0


def test_what_is_said_of_it_names_time_memory_disk_and_rows(tmp_path):
    said = foretell(spec_of(made.write(tmp_path / "a.jsonl", 200), tmp_path), 0.2)
    titles = [title for title, _ in describe(said)]
    assert titles[:2] == ["Estimate", "Seconds of each stage"]
    assert [line.split(":")[0] for line in short(said)][:4] == ["time", "memory", "disk", "rows"]
    assert json.loads(json.dumps(said.to_dict()))["seconds"]["value"] == said.seconds.value
    assert said.seconds.low <= said.seconds.value <= said.seconds.high
    assert said.memory.value > 2**26
    assert list(said.workers) == [1, 2, 4, 8, 16]
    assert read_rates().foretold
