"""What a job leaves for its report, and what the report says of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.cli.summary import show
from forge_gpu.errors import InputError, Interrupted
from forge_gpu.io import secrets
from forge_gpu.report import page
from forge_gpu.report.collect import make_report
from forge_gpu.report.measure import EXACT, Lengths, measure
from tests.job import jobs


def data_of(page):
    text = page.read_text()
    return json.loads(
        re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[0]
    )


def prepared(tmp_path, config, name="out", **options):
    return forge_gpu.prepare(config, output=tmp_path / name, **options)


@pytest.fixture
def rows():
    made = jobs.rows(400)
    made[50] = {"instruction": "no answer"}
    made[60]["output"] = None
    made[70]["output"] = "é" * 50_000
    return made


def test_the_report_says_what_the_manifest_and_the_ledger_say(rows, tmp_path):
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    result = prepared(tmp_path, jobs.plan(source))
    reported = data_of(result.output / "report.html")
    manifest = result.manifest
    assert reported["counts"] == manifest["counts"] and reported["rows"] == 400
    assert reported["sources"][0]["fates"] == {
        fate: rows for fate, rows in manifest["counts"].items() if rows
    }
    assert {of["reason"]: of["rows"] for of in reported["reasons"]} == manifest["rejected"]
    [missing] = [of for of in reported["reasons"] if of["reason"] == "missing_field"]
    assert missing["examples"][0]["row"] == 50 and "no answer" in missing["examples"][0]["text"]
    [lengths] = reported["lengths"]
    assert lengths["unit"] == "characters"
    assert lengths["splits"]["train"]["rows"] == manifest["counts"]["train"]
    assert sum(lengths["splits"]["train"]["histogram"]) == manifest["counts"]["train"]
    assert (result.output / "report.html").stat().st_size < 10**6


def test_clusters_are_the_largest_with_their_rows(rows, tmp_path):
    rows[100:110] = [dict(rows[3])] * 10
    result = prepared(tmp_path, jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows)))
    first = data_of(result.output / "report.html")["clusters"][0]
    assert first["rows"] >= 11 and first["stayed"]["row"] <= 3
    assert len(first["others"]) == 3 and all(row["difference"][0][0] == 0 for row in first["others"])


def test_near_duplicates_have_their_difference_marked(tmp_path):
    text = " ".join(f"word{n}" for n in range(60))
    texts = [text, text.replace("word30", "other"), "something else entirely, which nobody repeats"]
    rows = [{"instruction": "say it", "input": "", "output": of} for of in texts]
    config = jobs.plan(
        jobs.write_lines(tmp_path / "rows.jsonl", rows),
        preprocessing={"dedup": {"near": {"threshold": 0.7}}, "validation_split": 0.0, "train_split": 1.0},
    )
    [cluster] = data_of(prepared(tmp_path, config).output / "report.html")["clusters"]
    [other] = cluster["others"]
    assert [1, "word30"] in other["difference"] and [2, "other"] in other["difference"]
    assert 0.7 < other["similarity"] < 1


def test_strata_are_told_by_their_values_with_the_splits_they_went_to(rows, tmp_path):
    config = jobs.plan(
        jobs.write_lines(tmp_path / "rows.jsonl", rows),
        preprocessing={
            "split": {"stratify": ["category", "score"]},
            "validation_split": 0.2,
            "train_split": 0.8,
        },
    )
    result = prepared(tmp_path, config)
    reported = data_of(result.output / "report.html")["strata"]
    assert reported["columns"] == ["category", "score"] and len(reported["items"]) == 12
    used = {"train": 0, "validation": 0}
    ledger = pq.read_table(result.ledger_path).to_pylist()
    for item in reported["items"]:
        category, score = item["name"].split(", ")
        assert category in "abcd" and score in ("1", "2.5", "None", str(10**20))
        of = [
            row["fate"]
            for row in ledger
            if row["stratum"] is not None
            and (str(rows[row["row"]]["category"]), str(rows[row["row"]]["score"])) == (category, score)
        ]
        assert item["fates"] == {fate: of.count(fate) for fate in set(of)} and item["rows"] == len(of)
        for split in used:
            used[split] += item["fates"].get(split, 0)
    assert reported["more"] == len({row["stratum"] for row in ledger} - {None}) - 12
    assert used["validation"] / (used["train"] + used["validation"]) == pytest.approx(0.2, abs=0.03)


def test_lengths_are_told_in_tokens_where_the_ledger_has_them(rows, tmp_path, capsys):
    config = jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows), model={"max_length": 40})
    result = prepared(tmp_path, config)
    ledger = pq.read_table(result.ledger_path)
    tokens = [None if of is None else of // 3 for of in ledger["characters"].to_pylist()]
    pq.write_table(ledger.append_column("tokens", pa.array(tokens, pa.int64())), result.ledger_path)
    reported = data_of(make_report(result.output))
    assert [of["unit"] for of in reported["lengths"]] == ["tokens", "characters"]
    train = reported["lengths"][0]["splits"]["train"]
    fates = ledger["fate"].to_pylist()
    expected = [n for n, fate in zip(tokens, fates, strict=True) if fate == "train" and n is not None]
    assert reported["lengths"][0]["limit"] == 40 and train["longest"] == max(expected)
    assert train["over"] == sum(n > 40 for n in expected) > 0
    assert set(reported["samples"][0]["lengths"]) == {"tokens", "characters"}
    show(result)
    assert re.search(
        r"below [\d,]+ tokens, 95% below [\d,]+; \d+ \([\d.]+%\) over 40 tokens", capsys.readouterr().out
    )


def test_samples_are_the_written_rows_with_what_is_trained(rows, tmp_path):
    result = prepared(tmp_path, jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows)))
    texts = {
        json.loads(line)["text"] for line in result.splits["train"].paths[0].read_text().split("\n") if line
    }
    samples = [s for s in data_of(result.output / "report.html")["samples"] if s["split"] == "train"]
    assert len(samples) == 8
    for sample in samples:
        text = "".join(text for text, _ in sample["segments"])
        assert text in texts or sample["more"]
        control = [text for text, flags in sample["segments"] if flags & 2]
        assert control[0] == "<|im_start|>" and "<|im_end|>" in control
        trained = "".join(text for text, flags in sample["segments"] if flags & 1)
        assert trained and text.endswith(trained)


def test_a_template_of_a_model_has_its_mask(tmp_path):
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    turns = ["a question", "an answer", "another", "the last answer"]
    roles = ["user", "assistant"] * 2
    rows = [
        {"messages": [{"role": r, "content": f"{t} {n}"} for r, t in zip(roles, turns, strict=True)]}
        for n in range(20)
    ]
    config = jobs.plan(
        jobs.write_lines(tmp_path / "rows.jsonl", rows),
        data={
            "mapping": {"shape": "conversation", "messages": "messages"},
            "inputs": [str(tmp_path / "rows.jsonl")],
        },
        model={"chat_template": template, "template_kind": "jinja"},
    )
    reported = data_of(prepared(tmp_path, config).output / "report.html")
    trained = "".join(text for text, flags in reported["samples"][0]["segments"] if flags & 1)
    assert "an answer" in trained and "the last answer" in trained and "question" not in trained
    assert reported["template"]["probes"]


def test_a_run_that_goes_on_has_the_rows_of_the_one_before(rows, tmp_path, monkeypatch):
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows * 40)
    monkeypatch.setattr("forge_gpu.job.block_pass.SAVE_EVERY", 0.0)
    config = jobs.plan(
        source,
        preprocessing={
            "streaming_threshold_gb": 0,
            "dedup": {"exact": False},
            "memory": {"threads": 1, "budget": 2**24},
        },
    )
    whole = data_of(prepared(tmp_path, config, "whole").output / "report.html")
    asked = 0

    def check():
        nonlocal asked
        asked += 1
        if (tmp_path / "out/.forge/report-rows.jsonl").exists():
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        prepared(tmp_path, config, check_stop=check)
    result = prepared(tmp_path, config)
    assert result.manifest["run"]["resumed"]
    again = data_of(result.output / "report.html")
    for key in ("samples", "reasons", "clusters", "lengths", "sources", "strata"):
        assert again[key] == whole[key]


def test_the_report_can_be_off_and_made_later(rows, tmp_path):
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    result = prepared(tmp_path, jobs.plan(source, output={"report": False}))
    assert not (result.output / "report.html").exists()
    assert not list((result.output / ".forge").glob("report*"))
    assert data_of(make_report(result.output))["counts"] == result.counts
    with pytest.raises(InputError, match="holds no finished output"):
        make_report(tmp_path)


def test_a_report_that_cannot_be_made_is_a_warning(rows, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.html").write_text("mine")
    warnings = []
    result = prepared(
        tmp_path,
        jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows)),
        on_event=lambda event: warnings.append(event.message) if hasattr(event, "message") else None,
    )
    assert result.counts["train"] and (tmp_path / "out/report.html").read_text() == "mine"
    assert any("report.html was not made" in line and "Forge did not write it" in line for line in warnings)


def test_bytes_do_not_depend_on_the_report(rows, tmp_path):
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    one = prepared(tmp_path, jobs.plan(source), "one")
    other = prepared(tmp_path, jobs.plan(source, output={"report": False}), "other")
    for file in ("train.jsonl", "validation.jsonl", "rejected.jsonl", "ledger.parquet"):
        assert (one.output / file).read_bytes() == (other.output / file).read_bytes()


def test_texts_are_shortened_until_the_page_is_small(rows, tmp_path, monkeypatch):
    for row in rows:
        row["output"] = str(row.get("output")) + "<&" * 5000
    monkeypatch.setattr(page, "MOST_BYTES", 650_000)
    result = prepared(tmp_path, jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows)))
    assert (result.output / "report.html").stat().st_size <= 650_000
    assert data_of(result.output / "report.html")["samples"][0]["more"]


def test_lengths_are_exact_where_they_are_short_and_near_where_long():
    chance = np.random.default_rng(1)
    short, long = chance.integers(0, EXACT, 5001), chance.integers(EXACT, 2**31, 5001)
    for values, error in ((short, 0), (long, 1 / 1024)):
        lengths = Lengths()
        for part in np.array_split(values, 7):
            lengths.add(part)
        for share in (0.05, 0.5, 0.95):
            true = np.sort(values)[int(np.ceil(share * len(values))) - 1]
            assert abs(lengths.at(share) - true) <= error * true
        assert lengths.longest == values.max() and lengths.rows == 5001
    assert lengths.above(2**30) == pytest.approx((long > 2**30).sum(), rel=0.01)


def test_a_broken_ledger_is_one_line(tmp_path):
    (tmp_path / "ledger.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read as a ledger"):
        measure(tmp_path / "ledger.parquet")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://name:pass@host/x?X-Sig=1", "s3://host/x"),
        ("--set data.api_key=abc", "--set data.api_key=***"),
        ("password: hunter22, user: me", "password: ***, user: me"),
        ("quality_checks.secrets=warn, secrets: 12", "quality_checks.secrets=warn, secrets: 12"),
        ("secrets: warn4me", "secrets: ***"),
        ("hf_abcdefghijklmnopqrstuvwxyz and AKIAABCDEFGHIJKLMNOP", "*** and ***"),
        (
            "model.special_tokens.bos_token=<s> max_tokens=5 seed=3",
            "model.special_tokens.bos_token=<s> max_tokens=5 seed=3",
        ),
    ],
)
def test_what_is_secret_in_a_text(text, shown):
    assert secrets.public(text) == shown


def test_values_of_secret_variables_are_hidden(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "zxcvbnm123")
    counted = {"warned": {"secrets": 3}, "secrets": "reject", "my_secrets": 3, "password": 3}
    assert secrets.public_within(counted) == counted | {"my_secrets": "***", "password": "***"}
    assert secrets.public("it is zxcvbnm123 here") == "it is *** here"
    assert secrets.public_command(["--password", "x", "--goal", "y"]) == ["--password", "***", "--goal", "y"]
