"""Splits, near-duplicates, contamination and mixtures of frames are those of `prepare` on the same rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import forge_gpu
import tests.library.frame_cases as cases
from forge_gpu.errors import ConfigError, ForgeError, InputError
from forge_gpu.quality.checks import REASONS
from tests.job import jobs

ENGINE = forge_gpu.open_engine("cpu")
OFF: dict[str, Any] = {"quality_checks": dict.fromkeys(REASONS, "off")}
SIZES: dict[str, Any] = {"train_split": 0.6, "validation_split": 0.3, "test_split": 0.1}
PARTS = ("train", "validation", "test")


def rows(count: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    """Different rows, many of them near to another."""
    chance = random.Random(seed)
    words = [f"word{number}" for number in range(300)]
    made: list[dict[str, Any]] = []
    for number in range(count):
        answer = " ".join(chance.choices(words, k=40))
        if made and chance.random() < 0.4:
            answer = chance.choice(made)["output"] + f" and {number}"
        made.append(
            {
                "instruction": f"tell me about {number}: " + " ".join(chance.choices(words, k=15)),
                "output": answer,
                "kind": chance.choice("abc"),
                "user": chance.choice([f"user {chance.randint(0, 60)}", None]),
                "when": f"2024-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}",
                "score": str(chance.randint(0, 50)),
            }
        )
    return made


def prepared(
    folder: Path, made: list[dict[str, Any]], data: Any = None, **preprocessing: Any
) -> pd.DataFrame:
    """The ledger of a job over the rows."""
    source = cases.write_lines(folder / "rows.jsonl", made)
    mapping = {"query": "instruction", "response": "output"}
    data = {"inputs": [str(source)], "mapping": mapping, **(data or {})}
    forge_gpu.prepare(jobs.plan(data=data, preprocessing=OFF | preprocessing), output=folder / "out")
    return cases.fates(folder / "out")


def placed(frames: dict[str, pd.DataFrame]) -> dict[str, list[int]]:
    return {name: frame.index.tolist() for name, frame in frames.items()}


@pytest.mark.parametrize(
    "split",
    [
        {"stratify": "kind"},
        {"stratify": ["kind", "user"]},
        {"group": "user"},
        {"group": "user", "stratify": "kind"},
        {"time": "when"},
        {"mode": "threshold"},
    ],
)
def test_split(split: dict[str, Any], tmp_path: Path) -> None:
    made = rows()
    settings = {"mode": "temporal", **split} if "time" in split else split
    ledger = prepared(tmp_path, made, split=settings, **SIZES)
    frame = pd.DataFrame(made)
    if "time" not in split:
        frame["text"] = ENGINE.render(frame, "chatml", mapping={"query": "instruction", "response": "output"})
        split = {**split, "columns": "text"}
    parts = ENGINE.split(frame, 0.6, 0.3, **split)
    assert placed(parts) == {name: ledger.index[ledger["fate"] == name].tolist() for name in PARTS}
    assert all(len(part) for part in parts.values())


def test_strata_of_several_columns_all_have_their_share() -> None:
    frame = pd.DataFrame(rows(2000))
    frame["half"] = ["x", "y"] * 1000
    parts = ENGINE.split(frame, 0.5, 0.25, 0.25, stratify=["kind", "half"])
    sizes = frame.groupby(["kind", "half"]).size()
    for part, fraction in zip(parts.values(), (0.5, 0.25, 0.25), strict=True):
        assert ((part.groupby(["kind", "half"]).size() - sizes * fraction).abs() < 2).all()
    alone = placed(ENGINE.split(frame, stratify=["kind"]))
    assert alone == placed(ENGINE.split(frame, stratify="kind")) != placed(ENGINE.split(frame))


def test_a_fraction_left_out_takes_the_rest() -> None:
    frame = pd.DataFrame({"a": [str(number) for number in range(100)]})

    def sizes(*given: Any, **named: Any) -> list[int]:
        return [len(part) for part in ENGINE.split(frame, *given, **named).values()]

    assert sizes() == [90, 10, 0]
    assert sizes(0.8) == [80, 20, 0]
    assert sizes(validation=0.1) == [90, 10, 0]
    assert sizes(test=0.25) == [75, 0, 25]
    assert sizes(0.7, test=0.1) == [70, 20, 10]
    assert sizes(0.7, 0.2) == [70, 20, 10]
    assert sizes(0.1, 0.2, 0.7) == [10, 20, 70]


@pytest.mark.parametrize("keep", ["first", "longest", "score"])
def test_near_duplicates(keep: str, tmp_path: Path) -> None:
    made = rows()
    near: dict[str, Any] = {"threshold": 0.6, "roles": ["response"], "keep": keep}
    ledger = prepared(tmp_path, made, dedup={"near": near})
    frame = pd.DataFrame(made)
    mapping = {"query": "instruction", "response": "output"}
    result = ENGINE.near_duplicates(frame, mapping=mapping, **near)
    assert (ledger["fate"] == "near_duplicate").sum() > 20
    assert cases.without_nulls(result.astype(object)) == cases.without_nulls(
        ledger["duplicate_of_row"].astype("Int64").astype(object)
    )
    assert result.equals(ENGINE.near_duplicates(frame, "output", threshold=0.6, keep=keep))


def test_against(tmp_path: Path) -> None:
    made, known = rows(), rows(60, seed=1)
    for number in range(0, 60, 7):
        made[number * 3]["instruction"] = "so: " + known[number]["instruction"]
    against = cases.write_lines(tmp_path / "known.jsonl", known)
    ledger = prepared(tmp_path, made, data={"against": [str(against)]})
    frames = pd.DataFrame(made), pd.DataFrame(known)
    result = ENGINE.against(*frames, "instruction")
    assert (ledger["fate"] == "contaminated").sum() == 9
    assert cases.without_nulls(result.astype(object)) == cases.without_nulls(
        ledger["matched_row"].astype("Int64").astype(object)
    )
    mapping = {"query": "instruction", "response": "output"}
    assert result.equals(ENGINE.against(*frames, mapping=mapping))
    assert ENGINE.against(*frames, "instruction", ngram=None, threshold=1.0).isna().all()


def test_mix(tmp_path: Path) -> None:
    sources = {"a": rows(200), "b": rows(120, seed=1), "c": rows(50, seed=2)}
    paths = {name: cases.write_lines(tmp_path / f"{name}.jsonl", made) for name, made in sources.items()}
    frames = {name: pd.DataFrame(made) for name, made in sources.items()}
    weights, caps = {"a": 2, "b": 1, "c": 1}, {"c": 40}
    config = jobs.plan(
        data={
            "inputs": [str(path) for path in paths.values()],
            "mapping": {"query": "instruction", "response": "output"},
            "weights": list(weights.values()),
            "caps": [None, None, 40],
        },
        preprocessing={**OFF, "dedup": {"key": ["output"]}},
    )
    result = forge_gpu.prepare(config, output=tmp_path / "out")
    ledger = pd.read_parquet(result.ledger_path)
    used = ENGINE.mix(frames, weights, caps, columns="output")
    assert [len(part) for part in used.values()] == [80, 40, 40]
    for name, path in paths.items():
        of_file = ledger[ledger["file"].str.endswith(path.name)]
        assert used[name].index.tolist() == of_file["row"][of_file["fate"] != "unsampled"].tolist()


FRAME = pd.DataFrame({"a": ["x", "y"], "b": ["1", "2"]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ENGINE.split(FRAME, mode="threshold", stratify="a"), "leave stratify out"),
        (lambda: ENGINE.split(FRAME, mode="threshold", group="a"), "leave group out"),
        (lambda: ENGINE.split(FRAME, mode="threshold", time="b"), "no mode threshold"),
        (lambda: ENGINE.split(FRAME, time="b", stratify="a", group="a"), "leave stratify and group out"),
        (lambda: ENGINE.split(FRAME, time="b", columns="a"), "leave columns out"),
        (lambda: ENGINE.split(FRAME, time="a"), "column 'a': row 0 has no time"),
        (lambda: ENGINE.split(FRAME, 0.9, 0.9), "must add up to 1, not 1.8"),
        (lambda: ENGINE.split(FRAME.assign(c=None), group="c"), "no row has a value in the column 'c'"),
        (lambda: ENGINE.near_duplicates(FRAME, "a", tresh=1), "tresh"),
        (lambda: ENGINE.near_duplicates(FRAME, "a", mapping={"text": "a"}), "not both"),
        (lambda: ENGINE.near_duplicates(FRAME, "a", keep="a"), "no row has a number in the column 'a'"),
        (lambda: ENGINE.against(FRAME, FRAME, "a", ngram=None, threshold=None), "no rule"),
        (lambda: ENGINE.mix({"a": FRAME}, {"b": 1}), "there is no frame 'b', only a"),
        (lambda: ENGINE.mix({"a": FRAME, "b": FRAME}, {"b": 1}), "the frame 'a' has none"),
    ],
)
def test_what_cannot_be_honoured_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ForgeError, match=message) as caught:
        call()
    assert isinstance(caught.value, ConfigError | InputError) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["large_string", "string", "dictionary", "object", "string_view"])
def test_duplicates_of_one_column_are_the_same_however_its_texts_lie(kind: str) -> None:
    """In several pieces of memory, between nulls that have bytes of their own, from the middle on."""
    chance = random.Random(kind)
    values = [chance.choice(["", None, "a", "b", "ab", "1", "01", "é\n", "x" * 500]) for _ in range(9000)]
    pieces = [pa.array(values[begin : begin + 700]) for begin in range(0, len(values), 700)]
    with_bytes = pa.array(["hidden"] * 50)
    nulls = pa.Array.from_buffers(with_bytes.type, 50, [pa.py_buffer(bytes(7)), *with_bytes.buffers()[1:]])
    column = pa.chunked_array([pa.array(["skipped"]), *pieces, nulls]).slice(1)
    values += [None] * 50
    types = {"large_string": pa.large_string(), "string": pa.string(), "string_view": pa.string_view()}
    if kind in types:
        frame: Any = pa.table({"text": column.cast(types[kind])})
    elif kind == "dictionary":
        frame = pa.table({"text": column.dictionary_encode()})
    else:
        frame = pd.DataFrame({"text": pd.Series(values, dtype=object)})
    first: dict[str, int] = {}
    expected = [first.setdefault(value or "", row) for row, value in enumerate(values)]
    expected_of = [None if of == row else of for row, of in enumerate(expected)]
    made = ENGINE.duplicate_of(frame, "text")
    assert [None if pd.isna(of) else int(of) for of in np.asarray(made, object)] == expected_of
