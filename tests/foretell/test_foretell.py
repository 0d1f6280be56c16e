"""What is said of a job, beside what the job does."""

from __future__ import annotations

import gzip
import json
import os

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest

import forge_gpu
from forge_gpu.config.schema import Config
from forge_gpu.errors import ForgeError, InputError, OutputError
from forge_gpu.foretell.apart import has_compiled, sample_apart
from forge_gpu.foretell.describe import describe, short
from forge_gpu.foretell.duplicates import duplicates
from forge_gpu.foretell.foretell import foretell, refusals, require_fit
from forge_gpu.foretell.interval import Interval
from forge_gpu.foretell.predict import on_workers, unevenness
from forge_gpu.foretell.sample import LEAST, ranges_of, sample
from forge_gpu.hardware.host import Memory
from forge_gpu.hardware.rates import read_rates
from forge_gpu.io.disk import is_in_memory
from forge_gpu.job.decide.mixture import lacking_repeats
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec
from tests.foretell import made
from tests.tokens.made import document

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
    if kind == "parquet":  # a copy of what is decoded, which the job can do without
        copy = said.disk["work"].value - said.disk["work"].low
        assert copy == pytest.approx(table.nbytes, rel=0.15)


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


def test_a_folder_in_memory_is_told_of_and_counts_as_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("forge_gpu.foretell.foretell.is_in_memory", lambda folder: True)
    said = foretell(spec_of(made.write(tmp_path / "a.jsonl", 200), tmp_path), 0.2)
    assert any("lies in memory: outputs, index and spool take" in note for note in said.notes)
    assert not said.refusals
    scarce = Memory(int(said.memory.low + said.disk["peak"].low) - 1, 0, None)
    (line,) = refusals(said, tmp_path / "prepared", scarce)
    assert "choose a folder on a disk" in line


def test_the_file_system_of_the_nearest_folder_says_whether_it_is_memory(tmp_path):
    device = tmp_path.stat().st_dev
    own, other = (f"{os.major(device)}:{os.minor(device + more)}" for more in (0, 1))
    line = "40 27 {} / /some\\040where rw,relatime shared:1 - {} none rw\n"
    mounts = tmp_path / "mounts"
    for kinds, is_memory in [
        ({own: "tmpfs", other: "ext4"}, True),
        ({own: "ext4", other: "tmpfs"}, False),
        ({other: "ramfs"}, False),
    ]:
        mounts.write_text("".join(line.format(*of) for of in kinds.items()))
        assert is_in_memory(tmp_path, mounts) == is_in_memory(tmp_path / "new" / "one", mounts) == is_memory
    assert not is_in_memory(tmp_path, tmp_path / "none")


def test_what_one_thread_is_left_with_is_counted():
    assert unevenness([16], 4) == 1 == unevenness([16, 16], 2)
    assert unevenness([16, 10], 2) == 32 / 26
    assert unevenness([16, 16, 2], 2) == 36 / 34
    assert ranges_of([], 1.0, 16) == []


def cost(**stages):
    return {stage: Interval.exact(seconds) for stage, seconds in stages.items()}


def test_workers_share_what_the_processors_do_and_not_what_threads_wait_for():
    cpu = cost(launch=1.0, index=10.0, decide=5.0, write=6.0)
    held_up = on_workers(cost(launch=1.0, index=10.0, decide=5.0, write=6.0), cpu)
    assert held_up[1] - held_up[2] == 8
    assert on_workers(cost(launch=1.0, index=5.0, decide=5.0, write=3.0), cpu) == held_up


def test_a_look_too_slow_for_a_chunk_takes_less(tmp_path, monkeypatch):
    monkeypatch.setattr("forge_gpu.foretell.sample.COLD", 0.0)
    spec = spec_of(made.write(tmp_path / "a.jsonl", 8_000), tmp_path)
    looked = sample(spec, JobFiles(spec), 1.0, most=2 * PART // 3)
    assert looked.first.asked == LEAST < looked.large.asked


def test_bytes_that_were_not_seen_cost_what_others_did_where_there_was_time_for_one_size_alone(tmp_path):
    path = made.write(tmp_path / "a.jsonl", 8_000)
    said = foretell(spec_of(path, tmp_path), 1e-6, most=PART // 4)
    alone = foretell(spec_of(path, tmp_path), 1.0)
    assert said.sampled["share"] < 0.3 and said.stages["index"].value > alone.stages["index"].value / 4


def test_a_process_that_compiled_has_another_look_for_it(tmp_path, monkeypatch):
    spec = spec_of(made.write(tmp_path / "a.jsonl", 300), tmp_path)
    here = sample(spec, JobFiles(spec), 1.0)
    there = sample_apart(spec, 1.0, None)
    assert there is not None and there.first.manifest["counts"] == here.first.manifest["counts"]
    assert (there.budget, there.ranges, there.total) == (here.budget, here.ranges, here.total)
    monkeypatch.setattr("forge_gpu.foretell.foretell.has_compiled", lambda: True)
    monkeypatch.setattr("forge_gpu.foretell.foretell.sample_apart", lambda *asked: there)
    assert foretell(spec, 1.0).memory.value == there.first.peak
    missing = spec_of(tmp_path / "none.jsonl", tmp_path)
    assert sample_apart(missing, 1.0, None) is None


def test_kernels_that_were_there_before_count_for_none(tmp_path, monkeypatch):
    monkeypatch.setattr("forge_gpu.kernels.cache.cache_folder", lambda: tmp_path)
    old, new = tmp_path / "a.nbi", tmp_path / "b.nbi"
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    assert not has_compiled()
    new.write_bytes(b"")
    assert has_compiled()


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


@pytest.mark.parametrize("rows", [400, 12_000])
def test_repeats_that_would_suffice_are_told_before_a_run(tmp_path, rows):
    """Of a small input exactly, of a part about."""
    (tmp_path / "tokenizer.json").write_text(document("qwen"))
    paths = [made.write(tmp_path / "few.jsonl", rows // 6, 1), made.write(tmp_path / "many.jsonl", rows, 2)]
    plan = made.config(paths[1], form="tokens").model_dump()
    plan["data"] |= {"inputs": list(map(str, paths)), "weights": [0.5, 0.5], "weights_by": "tokens"}
    plan["data"]["repeats"] = [2, 1]
    plan["tokens"]["tokenizer"] = str(tmp_path)
    config = Config.model_validate(plan)
    said = foretell(JobSpec(config, tmp_path, tmp_path / "prepared"), most=PART, note=False)
    came = lacking_repeats(forge_gpu.prepare(config, output=tmp_path / "prepared").manifest)
    assert came.keys() == said.repeats.keys() == {str(paths[0])}
    [number] = said.repeats.values()
    is_whole = said.sampled["share"] == 1
    assert is_whole == (rows == 400)
    assert abs(number - came[str(paths[0])]) <= (0 if is_whole else 1)
    about = "" if is_whole else "about "
    told = f"{paths[0]} has too little for its share; with data.repeats {about}{number} of it"
    assert any(line.startswith(told) for line in short(said))
