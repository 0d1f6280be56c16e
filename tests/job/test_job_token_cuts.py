"""Rows of too many tokens are cut as the plan says, and not one token is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import Interrupted, StrictError
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.planner.token_trial import try_tokens
from tests.job import jobs
from tests.job.test_job_tokens import TEMPLATE, WORDS, plan
from tests.tokens.made import document

MOST = 48
CUTS = ["none", "turns_start", "turns_end", "cut_start", "cut_end", "split"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    return made


def conversation(number: int) -> dict[str, Any]:
    """Up to six rounds, some with a tool's result, behind a system message."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": f"be {number % 5}"}]
    for turn in range(1 + number % 6):
        text = " ".join(WORDS[: (number + turn) % len(WORDS)])
        messages.append({"role": "user", "content": f"{number}.{turn} {text}"})
        if (number + turn) % 4 == 0:
            messages.append({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]})
            messages.append({"role": "tool", "content": f"result {turn}"})
        messages.append({"role": "assistant", "content": f"{text} yes {number}"})
    return {"messages": messages, "n": number}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [conversation(number) for number in range(90)]
    rows += [rows[7], rows[8], rows[40]]  # exact duplicates
    return jobs.write_lines(tmp_path / "rows.jsonl", rows)


def cut_plan(source: Path, folder: Path, cut: str, too_long: str = "warn", **sections: Any) -> Config:
    settings: dict[str, Any] = {
        "model": {"chat_template": TEMPLATE, "template_kind": "jinja", "max_length": MOST},
        "preprocessing": {"quality_checks": {"too_long": too_long}, "streaming_threshold_gb": 0},
        "output": {"form": "tokens", "columns": ["n"]},
    }
    for name, values in sections.items():
        settings[name] = settings.get(name, {}) | values
    return plan(source, folder, {"cut": cut}, **settings)


def ledger(output: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = pq.read_table(output / "ledger.parquet").to_pylist()
    return entries


def lines(output: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: jobs.read_lines(output / f"{name}.jsonl") for name in ("train", "validation")}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("too_long", ["warn", "reject"])
def test_every_token_has_one_fate(
    cut: str, too_long: str, source: Path, folder: Path, tmp_path: Path
) -> None:
    whole = {entry["row"]: entry["tokens"] for entry in _whole(source, folder, tmp_path)}
    result = jobs.run(cut_plan(source, folder, cut, too_long), tmp_path / "out")
    sums, entries = result.manifest["tokens"], ledger(tmp_path / "out")
    assert sums["in"] == sum(whole.values())
    assert sums["in"] == sums["trained"] + sums["prompt"] + sums["cut"] + sums["dropped"]
    for entry in entries:
        assert entry["tokens"] + (entry["cut_tokens"] or 0) == whole[entry["row"]]
    written = lines(tmp_path / "out")
    for split, rows in written.items():
        own, of_split = [entry for entry in entries if entry["fate"] == split], sums["splits"][split]
        assert of_split["tokens"] == sum(len(row["input_ids"]) for row in rows)
        assert of_split["tokens"] == sum(entry["tokens"] for entry in own)
        assert of_split["trained"] == sum(label != -100 for row in rows for label in row["labels"])
        assert of_split["cut"] == sum(entry["cut_tokens"] for entry in own)
        assert of_split["rows"] == len(own) and of_split["lines"] == len(rows)
        for entry in own:
            assert rows[entry["line"] - 1]["n"] == entry["row"]
    by_fate = {fate: of_fate["tokens"] for fate, of_fate in sums["dropped_by"].items() if of_fate["tokens"]}
    fates = {entry["fate"] for entry in entries} - {"train", "validation"}
    assert by_fate == {
        fate: sum(entry["tokens"] for entry in entries if entry["fate"] == fate) for fate in fates
    }
    longest = max(len(row["input_ids"]) for rows in written.values() for row in rows)
    assert (longest <= MOST) == (cut not in ("none", "turns_start", "turns_end") or too_long == "reject")


def _whole(source: Path, folder: Path, tmp_path: Path) -> list[dict[str, Any]]:
    jobs.run(cut_plan(source, folder, "none"), tmp_path / "whole")
    return ledger(tmp_path / "whole")


@pytest.mark.parametrize("cut", ["turns_start", "turns_end"])
def test_cuts_at_turns_leave_out_as_little_as_they_can_and_render_again(
    cut: str, source: Path, folder: Path, tmp_path: Path
) -> None:
    jobs.run(cut_plan(source, folder, cut, "reject"), tmp_path / "out")
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = [row for split in lines(tmp_path / "out").values() for row in split]
    left_out = {entry["row"]: entry["cut_messages"] for entry in ledger(tmp_path / "out")}
    seen = 0
    for row in rows:
        messages = conversation(row["n"])["messages"]
        candidates = [messages, *shorter(messages, cut)]
        encoded = [library.encode(rendered(each), add_special_tokens=False).ids for each in candidates]
        best = next(k for k, ids in enumerate(encoded) if len(ids) <= MOST)
        assert row["input_ids"] == encoded[best]
        assert left_out[row["n"]] == len(messages) - len(candidates[best])
        seen += best > 0
    assert seen > 10


def shorter(messages: list[dict[str, Any]], cut: str) -> list[list[dict[str, Any]]]:
    roles = [message["role"] for message in messages]
    if cut == "turns_end":
        ends = [at + 1 for at, role in enumerate(roles) if role == "assistant" and at + 1 < len(roles)]
        return [messages[:end] for end in reversed(ends)]
    begins = [at for at, role in enumerate(roles) if role == "user" and at > 1]
    return [messages[:1] + messages[at:] for at in begins]


def rendered(messages: list[dict[str, Any]]) -> str:
    from jinja2 import Environment

    source = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    environment = Environment()
    environment.filters["tojson"] = lambda value: __import__("json").dumps(value)
    return environment.from_string(source).render(messages=messages)


def test_cuts_of_tokens_keep_one_end(source: Path, folder: Path, tmp_path: Path) -> None:
    jobs.run(cut_plan(source, folder, "none"), tmp_path / "none")
    whole = {row["n"]: row for split in lines(tmp_path / "none").values() for row in split}
    for cut, part in (("cut_start", slice(-MOST, None)), ("cut_end", slice(None, MOST))):
        jobs.run(cut_plan(source, folder, cut), tmp_path / cut)
        for rows in lines(tmp_path / cut).values():
            for row in rows:
                assert row["input_ids"] == whole[row["n"]]["input_ids"][part]
                assert row["labels"] == whole[row["n"]]["labels"][part]


@pytest.mark.parametrize("order", ["input", "shuffled"])
def test_pieces_of_a_row_are_all_of_it_that_teaches(
    order: str, source: Path, folder: Path, tmp_path: Path
) -> None:
    jobs.run(cut_plan(source, folder, "none"), tmp_path / "none")
    whole = {row["n"]: row for split in lines(tmp_path / "none").values() for row in split}
    jobs.run(cut_plan(source, folder, "split", output={"order": order}), tmp_path / "out")
    written = lines(tmp_path / "out")
    for entry in ledger(tmp_path / "out"):
        if entry["fate"] not in written:
            continue
        ids, labels = whole[entry["row"]]["input_ids"], whole[entry["row"]]["labels"]
        pieces = [(ids[k : k + MOST], labels[k : k + MOST]) for k in range(0, len(ids), MOST)]
        if len(pieces) > 1:
            pieces = [piece for piece in pieces if any(label != -100 for label in piece[1])]
        first = entry["line"] - 1
        rows = written[entry["fate"]][first : first + len(pieces)]
        assert [(row["input_ids"], row["labels"]) for row in rows] == pieces
        assert {row["n"] for row in rows} == {entry["row"]}
        assert entry["cut_tokens"] == len(ids) - sum(len(piece[0]) for piece in pieces)


@pytest.mark.parametrize(
    ("cut", "output"),
    [
        ("turns_start", {}),
        ("split", {"format": "parquet", "rows_per_shard": 7}),
        ("split", {"order": "shuffled"}),
    ],
)
def test_cuts_depend_on_nothing_but_input_and_plan(
    cut: str, output: dict[str, Any], source: Path, folder: Path, tmp_path: Path
) -> None:
    config = cut_plan(source, folder, cut, "reject", output=output)
    jobs.run(config, tmp_path / "whole", chunk_bytes=2**20, range_bytes=2**20)
    jobs.run(config, tmp_path / "other", threads=3, chunk_bytes=900, range_bytes=2500)
    assert jobs.content(tmp_path / "other") == jobs.content(tmp_path / "whole")
    for chunks in (4, 32):
        stopped = tmp_path / f"stopped-{chunks}"
        with pytest.raises(Interrupted):
            jobs.run(config, stopped, chunk_bytes=900, range_bytes=2500, **jobs.stop_after(chunks))
        assert jobs.run(config, stopped, chunk_bytes=900, range_bytes=2500).manifest["run"]["resumed"]
        assert jobs.content(stopped) == jobs.content(tmp_path / "whole")


def test_pieces_are_the_same_in_lines_and_in_columns(source: Path, folder: Path, tmp_path: Path) -> None:
    made = {}
    for format in ("jsonl", "parquet"):
        config = cut_plan(source, folder, "split", output={"format": format})
        made[format] = jobs.paths(jobs.run(config, tmp_path / format))[0]
    assert pq.read_table(made["parquet"]).to_pylist() == jobs.read_lines(made["jsonl"])


@pytest.mark.parametrize("shape", ["conversation", "flat"])
def test_pieces_beside_a_row_that_is_rejected(shape: str, source: Path, folder: Path, tmp_path: Path) -> None:
    """Its chunk is bound again, for what is wrong with it; the other rows' columns are then those of rows."""
    mapping, model, column = {"shape": shape, "messages": "messages"}, {}, "messages"
    if shape == "flat":
        mapping, column = {"shape": shape, "query": "q", "response": "a"}, "q"
        model = {"chat_template": "chatml", "template_kind": "builtin"}
        jobs.write_lines(source, [{"q": f"ask {n}", "a": "word " * (n % 60 + 1)} for n in range(80)])
    with source.open("a") as file:
        file.write('{"none": "of these"}\n')
    sections: dict[str, Any] = {"data": {"mapping": mapping}, "model": model, "output": {"columns": [column]}}
    config = cut_plan(source, folder, "split", **sections)
    result = jobs.run(config, tmp_path / "out")
    assert result.counts["rejected"] == 1
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pieces: dict[str, str] = {}
    for row in (row for split in lines(tmp_path / "out").values() for row in split):
        asked = row["q"] if shape == "flat" else row["messages"][1]["content"]
        pieces[asked] = pieces.get(asked, "") + vocabulary.decode(row["input_ids"], skip_special_tokens=False)
    assert len(pieces) == sum(result.counts[split] for split in ("train", "validation"))
    assert all(asked in text for asked, text in pieces.items())


def test_a_strict_job_ends_at_a_row_that_is_too_long(source: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StrictError, match=r"rows\.jsonl: row \d+ is rejected: too_long"):
        jobs.run(cut_plan(source, folder, "none", "reject"), tmp_path / "out", strict=True)


@pytest.mark.parametrize(
    ("cut", "settings", "why"),
    [
        ("split", {"model": {"max_length": None}}, "model.max_length, which is not set"),
        ("cut_end", {"output": {"form": "text", "columns": []}}, "needs output.form tokens"),
        ("turns_end", {"data": {"mapping": {"shape": "text", "text": "t"}}}, "have no list of them"),
    ],
)
def test_a_cut_that_cannot_be_made_is_a_fault(
    cut: str, settings: dict[str, Any], why: str, source: Path, folder: Path
) -> None:
    data = settings.pop("data", None)
    config = cut_plan(source, folder, cut, **settings)
    if data:
        config = Config.model_validate({**config.model_dump(by_alias=True), "data": data})
    assert any(rule.name == "tokens.cut" and why in fault for rule, fault in broken(config, ()))


@pytest.mark.parametrize("cut", CUTS)
def test_a_row_is_shown_as_it_is_written(cut: str, source: Path, folder: Path, tmp_path: Path) -> None:
    config = cut_plan(source, folder, cut)
    jobs.run(config, tmp_path / "out")
    entry = next(entry for entry in ledger(tmp_path / "out") if entry["row"] == 5)
    shown = try_tokens(JobSpec(config, tmp_path, tmp_path / "none"), CpuEngine(), 6)
    assert not isinstance(shown, str)
    assert (shown.cut_tokens, shown.cut_messages) == (entry["cut_tokens"], entry["cut_messages"])
    rows = [row for row in lines(tmp_path / "out")[entry["fate"]] if row["n"] == 5]
    ids = [number for row in rows for number in row["input_ids"]]
    assert [token.id for token in shown.tokens] == ids
    assert shown.most == (MOST if cut == "split" else None)
