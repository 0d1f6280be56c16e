"""What is chosen, on data of which the best is known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forge_gpu
from forge_gpu.cli.app import _run
from forge_gpu.config.edit import edited
from forge_gpu.config.layers import Layer, build
from forge_gpu.config.parse import parse
from forge_gpu.config.schema import Config
from forge_gpu.config.write import dumps, save
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.tuning import speed
from forge_gpu.tuning.lengths import grid
from forge_gpu.tuning.mixture import level
from forge_gpu.tuning.near import THRESHOLD
from forge_gpu.tuning.trade import Candidate, Trade

TOKENIZER = Path(__file__).parents[2] / "examples" / "tokenizer.json"


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def of_tokens(path: Path, lengths: list[int], seed: int = 0) -> Path:
    """Rows of exactly so many tokens: a digit is one."""
    chance = random.Random(seed)
    return write(path, ["".join(chance.choices("0123456789", k=length)) for length in lengths])


def of_words(path: Path, rows: int) -> Path:
    chance = random.Random(0)
    return write(path, [" ".join(f"{chance.randrange(10**5):05}" for _ in range(60)) for _ in range(rows)])


def config(*paths: Path, **changes: dict[str, Any]) -> Config:
    values: dict[str, dict[str, Any]] = {
        "data": {"inputs": [str(path) for path in paths], "mapping": {"shape": "text", "text": "text"}},
        "model": {"max_length": 2048},
        "tokens": {"tokenizer": str(TOKENIZER), "train": "all"},
        "output": {"form": "tokens", "report": False},
    }
    for section, own in changes.items():
        values[section] = values.get(section, {}) | own
    return Config.model_validate(values)


def test_the_length_that_leaves_the_wanted_share_whole(tmp_path):
    plan = config(of_tokens(tmp_path / "a.jsonl", [200] * 97 + [700] * 2 + [1900]))
    tuned = forge_gpu.tune(plan, only=["max_length"])
    assert tuned.settings == {"model.max_length": 768}
    assert tuned.trades[0].choice.measures["rows_whole"] == 0.99
    assert forge_gpu.tune(plan, only=["max_length"], coverage=0.9).after.model.max_length == 256
    assert forge_gpu.tune(plan, only=["max_length"], coverage=1.0).after.model.max_length == 2048


@pytest.mark.parametrize(
    ("lengths", "packing", "best"),
    [
        ([512, 256] * 50, "bfd", 512),  # 256 cuts, and longer ones are no fuller
        ([384] * 100, "bfd", 384),  # 512 would be three quarters full
        ([100] * 400, "wrapped", 2048),  # the longer, the fewer rows are torn
    ],
)
def test_the_length_of_packs_that_loses_least(tmp_path, lengths, packing, best):
    path = of_tokens(tmp_path / "a.jsonl", lengths)
    tuned = forge_gpu.tune(config(path, output={"packing": packing}), only=["pack_length"])
    assert tuned.after.output.pack_length == best
    chosen = tuned.trades[0].choice.measures
    assert chosen["fill"] > 0.97 and (packing == "wrapped" or chosen["cut"] == 0)


def test_what_is_said_of_packs_is_what_comes(tmp_path):
    path = of_tokens(tmp_path / "a.jsonl", [random.Random(n).randrange(20, 500) for n in range(300)])
    plan = config(
        path, output={"packing": "bfd"}, preprocessing={"train_split": 1.0, "validation_split": 0.0}
    )
    tuned = forge_gpu.tune(plan, only=["pack_length"])
    packs = forge_gpu.prepare(tuned.after, output=tmp_path / "out").manifest["packs"]["splits"]["train"]
    fill = packs["tokens"] / (packs["packs"] * tuned.after.output.pack_length)
    assert tuned.trades[0].choice.measures["fill"] == pytest.approx(fill)


def test_the_threshold_that_tells_copies_from_others(tmp_path):
    plan = config(of_words(tmp_path / "a.jsonl", 60), preprocessing={"dedup": {"near": {"threshold": 0.95}}})
    tuned = forge_gpu.tune(plan, only=["near"])
    trade = tuned.trades[0]
    by_threshold = {each.measures["threshold"]: each.measures for each in trade.candidates}
    chosen = tuned.settings[THRESHOLD]
    assert 0.5 <= chosen < 0.95
    assert by_threshold[chosen]["precision"] == 1 and by_threshold[chosen]["recall"] > 0.98
    assert by_threshold[0.95]["recall"] < 0.5, "the plan as it was sees few of them"
    assert by_threshold[0.3]["precision"] < 0.9, "and a low one takes others for copies"
    stricter = forge_gpu.tune(plan, only=["near"], same=0.02)
    assert stricter.settings[THRESHOLD] > chosen


def test_the_most_even_mixture_that_has_the_tokens(tmp_path):
    plan = config(
        of_tokens(tmp_path / "a.jsonl", [100] * 300), of_tokens(tmp_path / "b.jsonl", [100] * 50, 1)
    )
    even = forge_gpu.tune(plan, only=["mixture"], tokens=9_000)
    assert even.settings == {"data.weights": [0.5, 0.5], "data.weights_by": "tokens"}
    more = forge_gpu.tune(plan, only=["mixture"], tokens=20_000)
    assert more.after.data.weights == [0.75, 0.25]
    result = forge_gpu.prepare(more.after, output=tmp_path / "out")
    assert result.manifest["tokens"]["trained"] == 20_000
    none = forge_gpu.tune(plan, only=["mixture"], tokens=99_000)
    assert "less than 99,000" in none.trades[0].why
    assert "--tokens N" in forge_gpu.tune(plan, only=["mixture"]).passed_over["mixture"]


@pytest.mark.parametrize(("tokens", "expected"), [(3, 1), (7, 3), (10, 6), (11, 7)])
def test_the_level_gives_so_many_in_all(tokens, expected):
    assert level(np.array([7.0, 1.0, 3.0]), tokens) == expected
    assert np.minimum([7, 1, 3], expected).sum() == tokens


def test_by_seconds_it_is_one_of_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "FIRST", 2**12)
    tuned = forge_gpu.tune(config(of_words(tmp_path / "a.jsonl", 60)), only=["speed"], seconds=0.01)
    (trade,) = tuned.trades
    assert trade.by_seconds and all(each.measures["seconds_a_mib"] > 0 for each in trade.candidates)
    assert set(tuned.settings) <= {speed.THREADS, speed.CHUNK}
    monkeypatch.undo()
    small = forge_gpu.tune(tuned.before, only=["speed"])
    assert "before a setting can tell" in small.passed_over["speed"]


def test_the_same_seed_gives_the_same_answer(tmp_path):
    plan = config(
        of_words(tmp_path / "a.jsonl", 40), preprocessing={"dedup": {"near": {}}}, output={"packing": "bfd"}
    )
    names = ["max_length", "pack_length", "near"]
    first, second = (forge_gpu.tune(plan, only=names).to_dict() for _ in range(2))
    assert first == second


def test_what_does_not_apply_is_passed_over_with_the_reason(tmp_path):
    plan = config(of_words(tmp_path / "a.jsonl", 3), output={"form": "text"})
    tuned = forge_gpu.tune(plan)
    assert tuned.trades == () and tuned.settings == {} and tuned.after == tuned.before
    assert set(tuned.passed_over) == {"max_length", "pack_length", "near", "mixture", "speed"}
    with pytest.raises(ConfigError, match="by the name 'packs'; known: max_length"):
        forge_gpu.tune(plan, only=["packs"])


def test_what_is_beaten_is_not_on_the_front():
    made = [Candidate({}, {"fill": fill, "cut": cut}) for fill, cut in [(0.9, 0.2), (0.8, 0.2), (0.7, 0.1)]]
    trade = Trade("x", {"fill": "most", "cut": "least"}, made, 0, "")
    assert trade.front == [True, False, True]


def test_the_grid_ends_where_the_longest_row_fits_or_the_model_does():
    assert grid(None, 300) == [128, 192, 256, 384]
    assert grid(256, 10**6) == [128, 192, 256]
    assert grid(8192, 100) == [128]
    assert grid(64, 100) == [64]


@pytest.mark.parametrize(
    "change",
    [
        {"model.max_length": 64},
        {"data.weights": [0.5, 0.25], "data.weights_by": "tokens"},
        {"preprocessing.dedup.near.threshold": 0.7, "preprocessing.seed": 1},
        {"output.pack_length": 128},
    ],
)
def test_lines_that_say_nothing_of_it_stay_as_they_are(change):
    before = dumps(config(preprocessing={"dedup": {"near": {}}}), {"goal": "why it is so"})
    after = edited(before, change, dict.fromkeys(change, "tuned"))
    made = build([Layer(parse(after, "").values)]).config
    for key, value in change.items():
        at: Any = made
        for name in key.split("."):
            at = getattr(at, name)
        assert at == value
    kept = set(before.splitlines()) & set(after.splitlines())
    assert len(kept) >= len(set(before.splitlines())) - 2 * len(change)
    assert after.count("# tuned") == len(change)


def test_a_section_in_braces_is_written_anew():
    after = edited("version: 1\nmodel: {max_length: 8, append_eos: true}\n", {"model.max_length": 9}, {})
    made = build([Layer(parse(after, "").values)]).config
    assert (made.model.max_length, made.model.append_eos) == (9, True)


def test_the_command_changes_nothing_unless_it_is_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(Path("forge.yaml"), config(of_tokens(tmp_path / "a.jsonl", [100] * 20)), {})
    before = Path("forge.yaml").read_bytes()
    assert _run(["tune"], debug=False) == 0
    shown = capsys.readouterr().out
    assert "> " in shown and "+  max_length: 128" in shown and "Passed over\n" in shown
    assert Path("forge.yaml").read_bytes() == before
    assert _run(["tune", "--only", "max_length", "--json", "--apply"], debug=False) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == {"model.max_length": 128}
    assert b"max_length: 128" in Path("forge.yaml").read_bytes()
    assert Path("forge.yaml.bak").read_bytes() == before
    assert _run(["tune", "--only", "max_length", "--apply"], debug=False) == 0
    assert "none" in capsys.readouterr().out and not Path("forge.yaml.bak2").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.yaml"], "none.yaml: no such plan"),
        (["--coverage", "2"], "--coverage: '2' is not a fraction above 0"),
        (["--same", "nan"], "--same: 'nan' is not a fraction above 0"),
        (["--tokens", "0"], "--tokens: "),
    ],
)
def test_a_fault_is_one_line(tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    assert _run(["tune", *arguments], debug=False) != 0
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {line}") and shown.count("\n") == 1


def test_an_empty_input_is_said(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(InputError, match="the input is empty: there is nothing to measure"):
        forge_gpu.tune(config(empty))
