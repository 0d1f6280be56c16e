"""Mixtures whose shares are of tokens that are trained."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from forge_gpu.audit.folder import verify_folder
from forge_gpu.cli.summary import token_lines
from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config
from forge_gpu.derive.mix import mix
from forge_gpu.derive.repack import repack
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import InputError
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.streaming import stream
from tests.job import jobs
from tests.job.test_job_tokens import TEMPLATE
from tests.tokens.made import document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    return made


def test_shares_are_of_trained_tokens(folder: Path, tmp_path: Path) -> None:
    """Answers of one input are much longer than those of the other."""
    files = [
        jobs.write_lines(
            tmp_path / f"{name}.jsonl",
            [
                {"q": f"{name} {number}", "a": f"{number} " + "yes " * (number % 5 * length)}
                for number in range(rows)
            ],
        )
        for name, rows, length in (("long", 60, 9), ("short", 200, 1))
    ]
    shape = {"shape": "flat", "query": "q", "response": "a"}
    data: dict[str, Any] = {
        "inputs": list(map(str, files)),
        "mapping": shape,
        "weights": [1.0, 1.0],
        "weights_by": "tokens",
    }
    sections: dict[str, Any] = {
        "model": {"chat_template": TEMPLATE, "template_kind": "jinja"},
        "output": {"form": "tokens"},
        "tokens": {"tokenizer": str(folder)},
    }
    config = jobs.plan(data=data, **sections)
    result = jobs.run(config, tmp_path / "out")
    jobs.run(config, tmp_path / "other", threads=2, chunk_bytes=1000, range_bytes=3000)
    assert jobs.content(tmp_path / "other") == jobs.content(tmp_path / "out")
    long, short = result.manifest["mixture"]
    share = min(long["trained"], short["trained"])
    for entry in (long, short):
        assert share - 60 < entry["trained_used"] <= share
        assert 0 < entry["used"] <= entry["rows"]
    assert long["used"] < 60 and long["used"] < short["used"]
    splits = result.manifest["tokens"]["splits"].values()
    assert sum(split["trained"] for split in splits) == long["trained_used"] + short["trained_used"]
    by_rows = jobs.plan(data=data | {"weights_by": "rows"}, **sections)
    assert [entry["used"] for entry in jobs.run(by_rows, tmp_path / "rows").manifest["mixture"]] == [60, 60]


@pytest.mark.parametrize(("weights", "form"), [(None, "tokens"), ([1.0, 1.0], "text")])
def test_what_has_no_tokens_or_weights_is_refused(
    weights: list[float] | None, form: str, folder: Path
) -> None:
    data = {"inputs": ["a", "b"], "weights": weights, "weights_by": "tokens"}
    config = jobs.plan(data=data, output={"form": form}, tokens={"tokenizer": str(folder)})
    assert [rule.name for rule, _ in broken(config, ())] == ["data.weights_by"]


PLANS: dict[str, dict[str, dict[str, Any]]] = {
    "lines": {},
    "shuffled": {"output": {"order": "shuffled", "columns": ["q"]}},
    "lists": {"output": {"format": "parquet"}},
    "split": {
        "tokens": {"cut": "split"},
        "model": {"max_length": 24},
        "output": {"order": "shuffled", "rows_per_shard": 50},
    },
    "packs": {"output": {"packing": "bfd", "pack_length": 80, "order": "shuffled"}},
    "wrapped": {"output": {"packing": "wrapped", "pack_length": 50}},
}


def repeating(folder: Path, tmp_path: Path, name: str, **data: Any) -> Config:
    """Few long answers, and many short ones."""
    rows = {"code": 20, "chat": 90}
    files = [
        jobs.write_lines(
            tmp_path / f"{kind}.jsonl",
            [{"q": f"{kind} {n}", "a": f"{n} " + "yes " * (n % 7 + 1)} for n in range(count)],
        )
        for kind, count in rows.items()
    ]
    made: dict[str, Any] = {
        "data": {
            "inputs": list(map(str, files)),
            "mapping": {"shape": "flat", "query": "q", "response": "a"},
            **data,
        },
        "model": {"chat_template": TEMPLATE, "template_kind": "jinja"},
        "output": {"form": "tokens"},
        "tokens": {"tokenizer": str(folder)},
    }
    for section, values in PLANS[name].items():
        made[section] = made[section] | values
    return jobs.plan(**made)


def of_lines(output: Path, split: str) -> tuple[Counter[str], int]:
    """(how often each question is in a split; its tokens)"""
    tokenizer = Tokenizer.from_str(document("qwen"))
    if any(output.glob(f"{split}*.parquet")):
        rows = [row for path in output.glob(f"{split}*.parquet") for row in pq.read_table(path).to_pylist()]
    else:
        rows = [row for path in sorted(output.glob(f"{split}*.jsonl")) for row in jobs.read_lines(path)]
    ids = [number for row in rows for number in row["input_ids"]]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    return Counter(re.findall(r"(?:code|chat) \d+", text)), len(ids)


@pytest.mark.parametrize("name", PLANS)
def test_rows_are_repeated_as_often_as_the_plan_says(name: str, folder: Path, tmp_path: Path) -> None:
    """Whole passes and a rest, in train alone; each copy is written and counted, for any threads."""
    config = repeating(
        folder,
        tmp_path,
        name,
        weights=[1.0, 1.0],
        weights_by="tokens",
        repeats={str(tmp_path / "code.jsonl"): 3},
    )
    result = jobs.run(config, tmp_path / "out")
    jobs.run(config, tmp_path / "other", threads=2, chunk_bytes=1000, range_bytes=1500)
    assert jobs.content(tmp_path / "other") == jobs.content(tmp_path / "out")
    assert verify_folder(tmp_path / "out").is_valid
    code, chat = result.manifest["mixture"]
    assert (code["repeats"], chat["repeats"]) == (3, 1)
    assert (
        code["used"] == code["rows"] == 20 and code["written"] > 40 and chat["written"] == chat["used"] < 90
    )
    ledger = pq.read_table(tmp_path / "out/ledger.parquet").to_pylist()
    said = {split: Counter[str]() for split in ("train", "validation")}
    for entry in ledger:
        assert entry["copies"] is None if entry["fate"] == "unsampled" else entry["copies"] in (1, 2, 3)
        if entry["fate"] in said:
            said[entry["fate"]][f"{Path(entry['file']).stem} {entry['row']}"] += entry["copies"]
    assert set(said["validation"].values()) == {1}
    sums = result.manifest["tokens"]
    for split, copies in said.items():
        if name not in ("split", "wrapped"):  # a text may go on in another line
            assert of_lines(tmp_path / "out", split)[0] == copies
        assert of_lines(tmp_path / "out", split)[1] == sums["splits"][split]["tokens"]
        assert sums["splits"][split]["trained"] == sum(
            entry["trained"] * entry["copies"] for entry in ledger if entry["fate"] == split
        )
    gone = sums["trained"] + sums["prompt"] + sums["cut"] + sums["dropped"]
    assert sums["in"] + sums["repeated"] == gone and sums["repeated"] > 0
    assert code["trained_used"] + chat["trained_used"] == sums["trained"]
    if name in ("lines", "lists", "shuffled"):
        assert 0.8 < code["trained_used"] / chat["trained_used"] < 1.25
    if name == "shuffled":
        order = [row["q"] for row in jobs.read_lines(tmp_path / "out/train.jsonl")]
        beside = sum(one == next for one, next in pairwise(order))
        assert beside < len(order) / 10


def test_without_weights_all_is_repeated_and_a_stream_gives_the_same(folder: Path, tmp_path: Path) -> None:
    config = repeating(folder, tmp_path, "lines", repeats=[4, None])
    result = jobs.run(config, tmp_path / "out")
    train = result.manifest["tokens"]["splits"]["train"]
    assert [entry["written"] for entry in result.manifest["mixture"]] == [4 * 18 + 2, 90]
    assert train["lines"] == 4 * 18 + 81 and train["rows"] == 99
    budget = Budget(2**28, 1, 2000, "test")
    spec = JobSpec(config, tmp_path, tmp_path / "streamed")
    batches = stream(spec, budget, CpuEngine, "train", 7, lambda event: None)
    streamed = [row["input_ids"] for batch in batches for row in batch.to_pylist()]
    assert streamed == [row["input_ids"] for row in jobs.read_lines(tmp_path / "out/train.jsonl")]
    with pytest.raises(InputError, match="its rows are repeated"):
        repack(tmp_path / "out", tmp_path / "packs", packing="bfd", length=80)
    mixed = mix([tmp_path / "out"], tmp_path / "mixed")
    assert (mixed["lines"], mixed["tokens"]) == (train["lines"], train["tokens"])


def test_a_mixture_that_uses_no_row_has_no_packs(folder: Path, tmp_path: Path) -> None:
    config = repeating(folder, tmp_path, "lines", weights=[1.0, 1.0], repeats=[4, None])
    output = config.output.model_copy(update={"packing": "bfd", "pack_length": 200})
    (tmp_path / "chat.jsonl").write_text("")
    result = jobs.run(config.model_copy(update={"output": output}), tmp_path / "out")
    assert result.counts["train"] == 0 < result.counts["unsampled"]
    assert len(pq.read_table(tmp_path / "out/ledger.parquet")) == result.counts["unsampled"]


def test_the_repeats_that_would_suffice_are_told(folder: Path, tmp_path: Path) -> None:
    def run(output: str, repeats: int) -> dict[str, Any]:
        settings = {"weights": [1.0, 1.0], "weights_by": "tokens", "repeats": [repeats, None]}
        return jobs.run(repeating(folder, tmp_path, "lines", **settings), tmp_path / output).manifest

    few = run("few", 1)
    code, chat = few["mixture"]
    suffice = code["sufficient_repeats"]
    assert chat["used"] < chat["rows"] and suffice > 2 and chat["sufficient_repeats"] == 1
    said = f"code.jsonl has too little for its share; with data.repeats {suffice} of it no row of the other"
    assert said in "\n".join(token_lines(few))
    assert run("almost", suffice - 1)["mixture"][1]["used"] < chat["rows"]
    enough = run("enough", suffice)
    assert all(entry["used"] == entry["rows"] for entry in enough["mixture"])
    assert "too little" not in "\n".join(token_lines(enough))


def test_texts_are_not_repeated(folder: Path) -> None:
    config = jobs.plan(data={"inputs": ["a", "b"], "repeats": [1, 2]}, output={"form": "text"})
    assert [rule.name for rule, _ in broken(config, ())] == ["data.repeats"]
