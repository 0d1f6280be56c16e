"""Mixtures of prepared folders: shares by tokens, repeats in whole passes, and the lines that they name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forge_gpu
from forge_gpu.config.schema import Config
from forge_gpu.derive.lengths import tokens_of_lines
from forge_gpu.derive.mix import mix
from forge_gpu.derive.repack import repack
from forge_gpu.errors import ForgeError
from forge_gpu.loading.mixture import INDEX, MIXTURE
from forge_gpu.share.prepared import open_prepared
from tests.job import jobs
from tests.job.test_job_tokens import TEMPLATE, talks
from tests.loading.made import tokens
from tests.tokens.made import document


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("mix")
    return [
        tokens(base / "a", 120),
        tokens(base / "b", 60, first=120, packing="bfd", pack_length=200),
        tokens(base / "c", 40, first=180, packing="wrapped", pack_length=64, rows_per_shard=9),
    ]


def train(folder: Path) -> list[dict[str, Any]]:
    return list(open_prepared(folder).splits["train"])


def test_lengths_are_those_of_the_lines(sources: list[Path]) -> None:
    for folder in sources:
        for split in ("train", "validation"):
            prepared = open_prepared(folder)
            lengths = [len(row["input_ids"]) for row in prepared.splits[split]]
            assert tokens_of_lines(prepared, split).tolist() == lengths


@pytest.mark.parametrize(
    ("weights", "asked"), [(None, None), ([2, 1, 1], None), ([0.5, 0.25, 0.25], 40_000), ([1, 0, 3], 9_000)]
)
def test_shares_and_repeats(
    weights: list[float] | None, asked: int | None, sources: list[Path], tmp_path: Path
) -> None:
    made = mix(sources, tmp_path / "mixed", weights=weights, tokens=asked, seed=3)
    rows = [train(folder) for folder in sources]
    there = [sum(len(row["input_ids"]) for row in own) for own in rows]
    given = weights or there
    whole = asked or min(count / weight for count, weight in zip(there, given, strict=True) if weight) * sum(
        given
    )
    index = np.fromfile(tmp_path / "mixed" / INDEX, "<u4").reshape(-1, 2).tolist()
    times = Counter(map(tuple, index))
    longest = max(len(row["input_ids"]) for own in rows for row in own)
    for source, own in enumerate(rows):
        share = whole * given[source] / sum(given)
        used = [times[source, line] for line in range(len(own))]
        taken = sum(count * len(row["input_ids"]) for count, row in zip(used, own, strict=True))
        assert share - longest < taken <= share
        assert max(used) - min(used) <= 1 and min(used) == (share + 1e-6) // there[source]
        entry = made["sources"][source]
        assert entry["taken"] == {"lines": sum(used), "tokens": taken}
        assert entry["passes"] == taken / there[source] and entry["lines"] == len(own)
    assert json.loads((tmp_path / "mixed" / MIXTURE).read_text()) == made
    again = mix(sources, tmp_path / "again", weights=weights, tokens=asked, seed=3)
    assert [entry["taken"] for entry in again["sources"]] == [entry["taken"] for entry in made["sources"]]
    assert (tmp_path / "again" / INDEX).read_bytes() == (tmp_path / "mixed" / INDEX).read_bytes()


def test_training_code_gets_the_lines_that_the_index_names(sources: list[Path], tmp_path: Path) -> None:
    mix(sources, tmp_path / "mixed", weights=[1, 1, 1], tokens=20_000)
    rows = [train(folder) for folder in sources]
    index = np.fromfile(tmp_path / "mixed" / INDEX, "<u4").reshape(-1, 2).tolist()
    opened = forge_gpu.open(tmp_path / "mixed")
    seen: list[int] = []
    for batch in opened.reader("train", seed=5, batch_tokens=512):
        chosen = [rows[source][line] for source, line in (index[line] for line in batch.lines)]
        assert batch.input_ids.tolist() == [value for row in chosen for value in row["input_ids"]]
        lengths = [n for row in chosen for n in row.get("seq_lengths", [len(row["input_ids"])])]
        assert batch.lengths.tolist() == lengths
        seen += batch.lines.tolist()
    assert sorted(seen) == list(range(len(index))) == list(range(opened.splits["train"]))
    held = [row["input_ids"] for folder in sources for row in open_prepared(folder).splits["validation"]]
    got = [batch.input_ids.tolist() for batch in opened.reader("validation", shuffle=False)]
    assert got == held


def test_all_of_all_is_the_preparation_of_all(tmp_path: Path) -> None:
    parts = [tokens(tmp_path / "a", 60), tokens(tmp_path / "b", 60, first=60)]
    made = mix(parts, tmp_path / "mixed")
    batches = forge_gpu.open(tmp_path / "mixed").reader("train")
    mixed = Counter(tuple(batch.input_ids.tolist()) for batch in batches)
    assert mixed == Counter(tuple(row["input_ids"]) for folder in parts for row in train(folder))
    assert [entry["passes"] for entry in made["sources"]] == [1.0, 1.0]


def halves(folder: Path) -> tuple[list[Path], list[Path]]:
    """(two files of conversations that share none; a folder of tokens of each): every token is trained."""
    (folder / "tokenizer.json").write_text(document("qwen"))
    inputs = [jobs.write_lines(folder / f"{n}.jsonl", talks(60 * n)[60 * n - 60 :]) for n in (1, 2)]
    for number, source in enumerate(inputs):
        jobs.run(all_trained(folder, [source]), folder / f"part {number}")
    return inputs, [folder / "part 0", folder / "part 1"]


def all_trained(folder: Path, inputs: list[Path], **data: Any) -> Config:
    return jobs.plan(
        *inputs,
        data={"mapping": {"shape": "conversation", "messages": "messages"}, **data},
        model={"chat_template": TEMPLATE, "template_kind": "jinja"},
        tokens={"tokenizer": str(folder), "train": "all"},
        output={"form": "tokens"},
        preprocessing={"train_split": 1.0, "validation_split": 0.0},
    )


def times_of(rows: Iterable[Sequence[int]]) -> Counter[tuple[int, ...]]:
    return Counter(map(tuple, rows))


@pytest.mark.parametrize("passes", [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_whole_passes_are_the_preparation_with_repeats(passes: tuple[int, int], tmp_path: Path) -> None:
    """Each line as often as `forge prepare` writes it with `data.repeats`."""
    inputs, parts = halves(tmp_path)
    there = [sum(tokens_of_lines(open_prepared(part), "train").tolist()) for part in parts]
    weights = [count * number for count, number in zip(there, passes, strict=True)]
    mix(parts, tmp_path / "mixed", weights=weights, tokens=sum(weights))
    jobs.run(all_trained(tmp_path, inputs, repeats=list(passes)), tmp_path / "scratch")
    batches = forge_gpu.open(tmp_path / "mixed").reader("train")
    mixed = times_of(batch.input_ids.tolist() for batch in batches)
    assert mixed == times_of(row["input_ids"] for row in train(tmp_path / "scratch"))
    assert {*mixed.values()} == {*passes}


@pytest.mark.parametrize(
    ("weights", "repeats"), [([0.5, 0.5], [1, 1]), ([0.8, 0.2], [3, 1]), ([1, 4], [1, 5])]
)
def test_shares_are_those_of_a_preparation_with_weights(
    weights: list[float], repeats: list[int], tmp_path: Path
) -> None:
    """As many tokens of each, up to the rows that do not fit, and no row twice before all came once. Which
    rows are in the last pass differs: a mixture draws lines, a plan draws rows by their content."""
    inputs, parts = halves(tmp_path)
    settings = {"weights": weights, "repeats": repeats, "weights_by": "tokens"}
    jobs.run(all_trained(tmp_path, inputs, **settings), tmp_path / "scratch")
    scratch = times_of(row["input_ids"] for row in train(tmp_path / "scratch"))
    asked = sum(len(row) * number for row, number in scratch.items())
    mix(parts, tmp_path / "mixed", weights=weights, tokens=asked)
    batches = forge_gpu.open(tmp_path / "mixed").reader("train")
    mixed = times_of(batch.input_ids.tolist() for batch in batches)
    longest = max(map(len, [*scratch, *mixed]))
    for part in parts:
        own = [tuple(row["input_ids"]) for row in train(part)]
        used = [sum(len(row) * times[row] for row in own) for times in (scratch, mixed)]
        assert abs(used[0] - used[1]) < 3 * longest, used
        for times in (scratch, mixed):
            of_rows = [times[row] for row in own]
            assert max(of_rows) - min(of_rows) <= 1


def test_what_cannot_be_mixed_is_told(sources: list[Path], tmp_path: Path) -> None:
    faults: list[tuple[dict[str, Any], str]] = [
        ({"weights": [1]}, "1 weights for 3 folders"),
        ({"weights": [0, 0, 0]}, "one is above 0"),
        ({"weights": [1, -1, 1]}, "numbers of 0 or more"),
        ({"tokens": 0}, "has at least one"),
    ]
    for settings, fault in faults:
        with pytest.raises(ForgeError, match=fault):
            mix(sources, tmp_path / "mixed", **settings)
    with pytest.raises(ForgeError, match="holds a prepared folder already"):
        mix(sources, sources[0])
    mix(sources, tmp_path / "mixed")
    with pytest.raises(ForgeError, match="is a mixture already: name the folders"):
        mix([sources[0], tmp_path / "mixed"], tmp_path / "twice")
    with pytest.raises(ForgeError, match="is a mixture: repack the folders that it is of"):
        repack(tmp_path / "mixed", tmp_path / "packs", length=300)
    manifest = sources[0] / "manifest.json"
    before = manifest.read_bytes()
    manifest.write_bytes(before + b"\n")
    with pytest.raises(ForgeError, match="prepared anew since it was mixed"):
        forge_gpu.open(tmp_path / "mixed")
    manifest.write_bytes(before)
    (tmp_path / "mixed" / INDEX).write_bytes(b"\xff" * 16)
    with pytest.raises(ForgeError, match="does not fit its mixture"):
        forge_gpu.open(tmp_path / "mixed").reader("train")
