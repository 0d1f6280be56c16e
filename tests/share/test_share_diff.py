"""Two preparations compared: held against a plain comparison, over formats and orders, in flat memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from forge_gpu.cli.app import app
from forge_gpu.errors import ForgeError, InputError, OutputError
from forge_gpu.share.card.write import write_card
from forge_gpu.share.differ import texts as texts_of
from forge_gpu.share.differ.compare import Comparison, compare
from tests.job.jobs import plan, read_lines, rows, run, write_lines
from tests.share.made import CHAT, TOKENIZER, chats, prepared


def texts_by_place(folder: Path) -> dict[tuple[str, int], str]:
    """The rows of splits, read by the plain readers."""
    lines = {path.name: path.read_text().split("\n") for path in folder.glob("*.jsonl")}
    ledger = pq.read_table(folder / "ledger.parquet").to_pylist()
    return {(row["file"], row["row"]): lines[row["shard"]][row["line"] - 1] for row in ledger if row["shard"]}


def fates(folder: Path) -> dict[tuple[str, int], str]:
    ledger = pq.read_table(folder / "ledger.parquet").to_pylist()
    return {(row["file"], row["row"]): row["fate"] for row in ledger}


def changed(comparison: Comparison, change: str) -> int:
    return comparison.rows.by[change].rows if change in comparison.rows.by else 0


def require_right(a: Path, b: Path) -> Comparison:
    """Compare, and hold every number against a plain comparison."""
    heard: list[dict[str, Any]] = []
    comparison = compare(a, b, heard.append)
    one, other = fates(a), fates(b)
    both = one.keys() & other.keys()
    assert comparison.rows.compared == len(both)
    assert changed(comparison, "only_in_a") == len(one.keys() - both)
    assert changed(comparison, "only_in_b") == len(other.keys() - both)
    moved = Counter((one[place], other[place]) for place in both if one[place] != other[place])
    assert comparison.rows.moves == moved
    text_a, text_b = texts_by_place(a), texts_by_place(b)
    differing = {place for place in text_a.keys() & text_b.keys() if text_a[place] != text_b[place]}
    assert {(row["file"], row["row"]) for row in heard if row["change"] == "text"} == differing
    by_split = [Counter((one_of[place], text) for place, text in of.items())
                for one_of, of in ((one, text_a), (other, text_b))]  # fmt: skip
    whole = [Counter(of.values()) for of in (text_a, text_b)]
    texts = comparison.texts
    assert texts.only_in_a == (whole[0] - whole[1]).total()
    assert texts.only_in_b == (whole[1] - whole[0]).total()
    assert texts.same == (by_split[0] & by_split[1]).total()
    assert texts.moved == (whole[0] & whole[1]).total() - texts.same
    return comparison


def test_the_same_is_the_same_wherever_its_input_lay(tmp_path):
    a = prepared(tmp_path / "a" / "out")
    b = prepared(tmp_path / "b" / "out")
    comparison = compare(a, b)
    assert comparison.is_same and comparison.rows.compared == 120
    assert comparison.renamed == {str(tmp_path / "a" / "raw.jsonl"): str(tmp_path / "b" / "raw.jsonl")}


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"preprocessing": {"seed": 7}},
    "shards": {"output": {"rows_per_shard": 11}},
    "shuffled": {"output": {"order": "shuffled"}},
    "fractions": {"preprocessing": {"train_split": 0.5, "validation_split": 0.2, "test_split": 0.3}},
    "duplicates": {"preprocessing": {"dedup": {"exact": False}}},
    "template": {"model": {"chat_template": "alpaca"}},
    "checks": {"preprocessing": {"quality_checks": {"too_short": "reject", "min_characters": 30}}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_setting_that_changed(change, tmp_path):
    source = write_lines(tmp_path / "raw.jsonl", rows(120))
    run(plan(source), tmp_path / "a")
    run(plan(source, **CHANGES[change]), tmp_path / "b")
    comparison = require_right(tmp_path / "a", tmp_path / "b")
    assert not comparison.is_same
    section, values = next(iter(CHANGES[change].items()))
    keys = [difference["key"] for difference in comparison.settings]
    assert any(key.startswith(f"{section}.{next(iter(values))}") for key in keys), keys
    back = require_right(tmp_path / "b", tmp_path / "a")
    assert back.texts.only_in_a == comparison.texts.only_in_b


@settings(max_examples=8, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(["edit", "remove", "insert", "break"]), st.integers(0, 59)), max_size=6
    )
)
def test_rows_that_changed(edits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edits")
    before = rows(60)
    after = [dict(row) for row in before]
    for kind, at in edits:
        at = min(at, len(after) - 1)
        match kind:
            case "edit":
                after[at]["output"] = f"edited {at}"
            case "remove":
                del after[at]
            case "insert":
                after.insert(at, {"instruction": f"new {at}", "input": "", "output": "x" * at + "y"})
            case "break":
                after[at] = {"instruction": "?"}
    source = folder / "raw.jsonl"
    run(plan(write_lines(source, before)), folder / "a", chunk_bytes=512, range_bytes=1024)
    run(plan(write_lines(source, after)), folder / "b")
    require_right(folder / "a", folder / "b")


def test_formats_do_not_matter_for_texts(tmp_path):
    source = write_lines(tmp_path / "raw.jsonl", rows(120))
    output = {"columns": ["category", "score"]}
    run(plan(source, output=output), tmp_path / "a")
    run(plan(source, output={**output, "format": "parquet", "order": "shuffled"}), tmp_path / "b")
    comparison = compare(tmp_path / "a", tmp_path / "b")
    assert comparison.rows.by == {} and not comparison.texts.moved
    assert (comparison.texts.only_in_a, comparison.texts.only_in_b) == (0, 0) and comparison.texts.same
    assert {of["key"] for of in comparison.settings} == {"output.format", "output.order"}


@pytest.mark.parametrize("form", ["messages", "source", "prompt_completion"])
def test_each_form(form, tmp_path):
    a, b = (
        prepared(tmp_path / name / "out", records, data={"mapping": CHAT}, output={"form": form})
        for name, records in (("a", chats(30)), ("b", [*chats(29), {"messages": chats(31)[30]["messages"]}]))
    )
    comparison = compare(a, b)
    assert changed(comparison, "text") == 1 and comparison.texts.only_in_a == 1


def test_tokens(tmp_path):
    source = write_lines(tmp_path / "raw.jsonl", rows(60))
    tokens: dict[str, Any] = {"output": {"form": "tokens"}, "tokens": {"tokenizer": str(TOKENIZER)}}
    run(plan(source, **tokens), tmp_path / "a")
    run(plan(source, **tokens | {"tokens": {"tokenizer": str(TOKENIZER), "train": "all"}}), tmp_path / "b")
    comparison = compare(tmp_path / "a", tmp_path / "b")
    train = json.loads((tmp_path / "a" / "manifest.json").read_bytes())["counts"]
    assert (
        changed(comparison, "text") == changed(comparison, "trained") == train["train"] + train["validation"]
    )
    assert changed(comparison, "tokens") == 0
    assert "trained" in {of["key"] for of in comparison.tokens}


def test_a_column_more_is_told_and_hides_nothing(tmp_path):
    source = write_lines(tmp_path / "raw.jsonl", rows(60))
    run(plan(source), tmp_path / "a")
    run(plan(source, output={"columns": ["category"]}), tmp_path / "b")
    comparison = compare(tmp_path / "a", tmp_path / "b")
    assert comparison.columns == [{"key": "category", "a": None, "b": "string"}]
    assert comparison.rows.by == {} and not comparison.is_same


def test_texts_in_many_buckets(tmp_path, monkeypatch):
    monkeypatch.setattr(texts_of, "BUCKET_ROWS", 8)
    monkeypatch.setattr(texts_of, "ROWS_AT_ONCE", 16)
    source = write_lines(tmp_path / "raw.jsonl", rows(300))
    run(plan(source, preprocessing={"dedup": {"exact": False}}), tmp_path / "a")
    run(plan(source, preprocessing={"seed": 9, "dedup": {"exact": False}}), tmp_path / "b")
    require_right(tmp_path / "a", tmp_path / "b")


def test_inputs_in_another_order(tmp_path):
    one = write_lines(tmp_path / "one.jsonl", rows(40, seed=1))
    two = write_lines(tmp_path / "two.jsonl", rows(50, seed=2))
    run(plan(one, two), tmp_path / "a")
    run(plan(two, one), tmp_path / "b")
    require_right(tmp_path / "a", tmp_path / "b")


def command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["diff", *map(str, arguments)])
    return done.exit_code, done.stdout


def test_the_command(tmp_path):
    source = write_lines(tmp_path / "raw.jsonl", rows(60))
    run(plan(source), tmp_path / "a")
    run(plan(source, preprocessing={"seed": 3}), tmp_path / "b")
    counts = json.loads((tmp_path / "a" / "manifest.json").read_bytes())["counts"]
    in_splits = counts["train"] + counts["validation"]
    same = f"the same: 60 rows, {in_splits} of them in splits\n"
    assert command(tmp_path / "a", tmp_path / "a") == (0, same)
    code, shown = command(tmp_path / "a", tmp_path / "b")
    assert code == 1 and "preprocessing.seed: 42 → 3" in shown and "train → validation" in shown
    assert "say" not in shown, "no text of a row"
    code, shown = command(tmp_path / "a", tmp_path / "b", "--json", "--rows", tmp_path / "changed.jsonl")
    report = json.loads(shown)
    assert code == 1 and report["same"] is False
    changes = read_lines(tmp_path / "changed.jsonl")
    assert sum(change["change"] == "fate" for change in changes) == report["rows"]["fate"]["rows"]
    assert {change["file"] for change in changes} == {str(source)}
    refused = CliRunner().invoke(
        app, ["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--rows", str(source)]
    )
    assert isinstance(refused.exception, OutputError) and "already exists" in str(refused.exception)


def test_folders_that_are_not_prepared(tmp_path):
    a = prepared(tmp_path / "out", rows(20))
    for other, message in ((tmp_path / "none", "there is no such folder"), (tmp_path, "holds no manifest")):
        with pytest.raises(InputError, match=message):
            compare(a, other)
        with pytest.raises(InputError, match=message):
            compare(other, a)
    (a / "ledger.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"ledger\.parquet: cannot be read as a ledger"):
        compare(a, a)
    pq.write_table(pq.read_table(prepared(tmp_path / "b" / "out") / "ledger.parquet"), a / "ledger.parquet")
    with pytest.raises(InputError, match="the ledger names a line that is not there"):
        compare(a, a)


def test_files_that_are_damaged_are_one_line(tmp_path):
    a = prepared(tmp_path / "out", rows(40), output={"format": "parquet"})
    ledger = pq.read_table(a / "ledger.parquet")
    pq.write_table(
        ledger.set_column(ledger.schema.get_field_index("row"), "row", ledger["row"].cast("int32")),
        a / "ledger.parquet",
    )
    with pytest.raises(InputError, match="is not a ledger of Forge"):
        compare(a, a)
    pq.write_table(ledger, a / "ledger.parquet")
    assert compare(a, a).is_same
    path = a / "train.parquet"
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(data)
    for look in (compare, lambda one, other: write_card(one)):
        with pytest.raises(ForgeError) as told:
            look(a, a)
        assert "train.parquet" in str(told.value) or str(a) in str(told.value)


def test_nothing_is_the_same_as_nothing(tmp_path):
    a = prepared(tmp_path / "a" / "out", [])
    assert compare(a, a).is_same
    some = prepared(tmp_path / "b" / "out", rows(10))
    assert changed(compare(a, some), "only_in_b") == 10
    write_card(a)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    a = prepared(tmp_path / "out", rows(20))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="cannot be written: No such file or directory; set TMPDIR"):
        compare(a, a)


MEASURE = """
import sys, threading
from forge_gpu.job.events.memory import anonymous_memory
from forge_gpu.share.differ import texts
from forge_gpu.share.differ.compare import compare

texts.BUCKET_ROWS = texts.ROWS_AT_ONCE = 2**14
small, folder = sys.argv[1:]
compare(small, small)
base = anonymous_memory()
peak, end = 0, threading.Event()
def watch():
    global peak
    while not end.wait(0.01):
        peak = max(peak, anonymous_memory())
watching = threading.Thread(target=watch)
watching.start()
compared = compare(folder, small)
end.set()
watching.join()
print(peak - base)
"""
MOST_BYTES = 52 * 2**20
"""What a comparison takes, whatever the rows: 40 MB. The hashes of all rows alone would be 19 MB more."""


def enlarged(folder: Path, made_of: Path, count: int) -> Path:
    """A prepared folder of so many rows, all in train, made by hand of a small one."""
    import pyarrow as pa

    folder.mkdir()
    with (folder / "train.jsonl").open("w") as file:
        for begin in range(0, count, 50_000):
            file.write("".join(f'{{"text":"{number}"}}\n' for number in range(begin, begin + 50_000)))
    manifest = json.loads((made_of / "manifest.json").read_bytes())
    size = (folder / "train.jsonl").stat().st_size
    manifest["outputs"] = [manifest["outputs"][0] | {"rows": count, "bytes": size}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    names = {"file": "raw.jsonl", "fate": "train", "reason": None, "shard": "train.jsonl"}
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([(name, text) for name in names] + [("row", pa.int64()), ("line", pa.int64())])
    with pq.ParquetWriter(folder / "ledger.parquet", schema) as writer:
        for begin in range(0, count, 50_000):
            words = [
                pa.array([word] * 50_000, pa.string()).dictionary_encode().cast(text)
                for word in names.values()
            ]
            numbers = [pa.array(range(first, first + 50_000)) for first in (begin, begin + 1)]
            writer.write_table(pa.table([*words, *numbers], schema=schema))
    return folder


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    small = prepared(tmp_path / "small" / "out", rows(20))
    many = enlarged(tmp_path / "many", small, 1_200_000)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(small), str(many)],
        capture_output=True, text=True, env={"ARROW_DEFAULT_MEMORY_POOL": "system"}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST_BYTES
