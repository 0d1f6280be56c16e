"""Training data comes in one order, whoever shares it: nothing twice, nothing missed, wherever it is cut."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forge_gpu
from forge_gpu.errors import ConfigError, ForgeError, InputError
from forge_gpu.loading.lines import Batch, Lines
from forge_gpu.loading.reader import Reader
from tests.job import jobs
from tests.loading.made import tokens

SEED, MOST = 7, 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokens(tmp_path_factory.mktemp("rows"))


opened = cache(forge_gpu.open)


def reader(folder: Path, rank: int = 0, world: int = 1, **settings: bool) -> Reader:
    return opened(folder).reader("train", rank, world, SEED, MOST, **settings)


def lines_of(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.lines.tolist() for batch in batches]


def in_turn(shares: list[list[list[int]]]) -> list[list[int]]:
    """What several give, one batch each in turn."""
    return [batch for step in zip_longest(*shares) for batch in step if batch is not None]


def of_all(folder: Path, world: int, workers: int, state: dict[str, int], steps: int | None = None) -> list:
    """The batches of all ranks as a DataLoader gives them: its workers in turn, and the ranks in step."""
    ranks = []
    for rank in range(world):
        own = []
        for worker in range(workers):
            share = reader(folder, rank, world)
            share.load_state_dict(state)
            own.append(lines_of(share.batches(worker, workers)))
        ranks.append(in_turn(own)[:steps])
    return in_turn(ranks)


BEGINNING = {"epoch": 0, "batch": 0, "given": 0}


def test_one_order_for_all_ranks_and_workers(folder: Path) -> None:
    whole = lines_of(iter(reader(folder)))
    rows = forge_gpu.open(folder).splits["train"]
    assert sorted(line for batch in whole for line in batch) == list(range(rows))
    assert [line for batch in whole for line in batch] != list(range(rows))
    for world in range(1, 5):
        for workers in range(1, 3):
            assert of_all(folder, world, workers, BEGINNING) == whole


def test_other_ranks_go_on_where_the_ones_before_stopped(folder: Path) -> None:
    whole = lines_of(iter(reader(folder)))
    chance = random.Random(1)
    for _ in range(12):
        state, taken = BEGINNING, []
        while state["epoch"] == 0:
            world, workers = chance.randint(1, 4), chance.randint(1, 2)
            steps = chance.randint(1, 1 + len(whole) // 8)
            taken += of_all(folder, world, workers, state, steps)
            share = reader(folder, world - 1, world)
            share.load_state_dict(state)
            state = share.state_after(steps)
        assert taken == whole and state == {"epoch": 1, "batch": 0, "given": 0}


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (3, 1), (1, 2), (2, 2)])
def test_a_share_goes_on_from_its_state(world: int, workers: int, folder: Path) -> None:
    for rank in range(world):
        for worker in range(workers):
            share = lines_of(reader(folder, rank, world).batches(worker, workers))
            for steps in range(len(share) + 1):
                before = reader(folder, rank, world)
                iterator = before.batches(worker, workers)
                for _ in range(steps):
                    next(iterator)
                state = before.state_dict()
                assert len(state) == 3 and all(type(value) is int for value in state.values())
                after = reader(folder, rank, world)
                after.load_state_dict(state)
                assert lines_of(after.batches(worker, workers)) == share[steps:]
    # Without workers a state is for any number of ranks.
    if workers == 1:
        assert before.state_dict() == {"epoch": 0, "batch": len(share) * world, "given": 0}


def test_epochs_differ_and_an_epoch_is_the_same_again(folder: Path) -> None:
    first, second = reader(folder), reader(folder)
    zero = lines_of(iter(first))
    assert first.state_dict() == {"epoch": 1, "batch": 0, "given": 0}
    assert lines_of(iter(first)) == zero
    first.set_epoch(1)
    one = lines_of(iter(first))
    second.load_state_dict({"epoch": 1, "batch": 2, "given": 0})
    second.set_epoch(1)  # as a loop over epochs does, from the one of the state
    assert one != zero and lines_of(iter(second)) == one[2:]
    other = forge_gpu.open(folder).reader("train", seed=SEED + 1, batch_tokens=MOST)
    assert lines_of(iter(other)) != zero


def test_states_follow_each_other_batch_by_batch(folder: Path) -> None:
    """For a loop that reads ahead, over the end of an epoch."""
    state = {"epoch": 0, "batch": 4, "given": 0}
    share = reader(folder, 1, 2, drop_last=True)
    share.load_state_dict(state)
    for epoch in range(2):
        rest = lines_of(iter(share))
        assert share.state_after(len(rest)) == {"epoch": epoch + 1, "batch": 0, "given": 0}
        assert share.state_after(1) == share.state_after(1, state)
        for _ in rest:
            assert state["epoch"] == epoch
            state = share.state_after(1, state)
        assert state == {"epoch": epoch + 1, "batch": 0, "given": 0}
        share.load_state_dict(state)


def test_every_rank_has_as_many_where_the_last_are_dropped(folder: Path) -> None:
    whole = lines_of(iter(reader(folder)))
    shares = [lines_of(iter(reader(folder, rank, 3, drop_last=True))) for rank in range(3)]
    assert [len(share) for share in shares] == [len(whole) // 3] * 3 and len(whole) % 3
    assert in_turn(shares) == whole[: len(whole) // 3 * 3]


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"format": "parquet", "rows_per_shard": 40},
        {"packing": "bfd", "pack_length": 200},
        {"packing": "wrapped", "pack_length": 150},
    ],
)
def test_a_batch_is_what_the_files_say(output: dict[str, Any], tmp_path: Path) -> None:
    out = tokens(tmp_path, 60, **output)
    rows = read(out)
    opened = forge_gpu.open(out)
    seen = 0
    for batch in opened.reader("train", batch_tokens=MOST):
        assert len(batch.input_ids) <= MOST
        chosen = [rows[line] for line in batch.lines]
        lengths = [n for row in chosen for n in row.get("seq_lengths", [len(row["input_ids"])])]
        assert batch.lengths.tolist() == lengths
        assert batch.input_ids.tolist() == [value for row in chosen for value in row["input_ids"]]
        assert batch.position_ids.tolist() == [place for length in lengths for place in range(length)]
        labels = np.array([value for row in chosen for value in row["labels"]])
        labels[np.cumsum([0, *lengths[:-1]])] = -100
        assert batch.labels.tolist() == labels.tolist()
        seen += len(chosen)
    assert seen == len(rows) == opened.splits["train"]
    in_order = opened.reader("train", shuffle=False)  # without a bound, a line is a batch
    assert lines_of(iter(in_order)) == [[line] for line in range(len(rows))]


def read(out: Path) -> list[dict[str, Any]]:
    """The rows of train, in order."""
    from forge_gpu.share.prepared import open_prepared

    return list(open_prepared(out).splits["train"])


def test_files_are_mapped_once_and_anew_when_the_output_changed(tmp_path: Path) -> None:
    out = tokens(tmp_path, 40)
    first = list(reader(out))
    opened.cache_clear()
    mapped = out / ".forge" / "mapped"
    (made,) = (path for path in mapped.iterdir() if path.is_dir())
    (made / "left").touch()
    assert len(list(reader(out))) == len(first) and (made / "left").exists()
    tokens(tmp_path, 50)
    opened.cache_clear()
    assert sum(len(batch.lines) for batch in reader(out)) > sum(len(batch.lines) for batch in first)
    assert not made.exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tokens(tmp_path / "data", 40)
    monkeypatch.setattr("forge_gpu.loading.mapped.os.access", lambda path, mode: False)
    monkeypatch.setattr("forge_gpu.loading.mapped.cache_folder", lambda: tmp_path / "cache" / "kernels" / "x")
    assert list(reader(out)) and any((tmp_path / "cache" / "mapped").glob("train-*"))
    assert not (out / ".forge" / "mapped").exists()


def test_a_reader_travels_to_another_process(folder: Path) -> None:
    share = reader(folder)
    again: Reader = pickle.loads(pickle.dumps(share))  # noqa: S301 (our own)
    assert lines_of(iter(again)) == lines_of(iter(share))
    assert len(pickle.dumps(share)) < 2000


def test_no_line_is_too_long_in_silence(folder: Path) -> None:
    lines = Lines(reader(folder)._lines.sources)
    longest = int(lines.tokens().max())
    assert sum(len(batch.lines) for batch in Reader(lines, batch_tokens=longest)) == len(lines)
    with pytest.raises(ConfigError, match=f"the longest line has {longest:,} tokens"):
        Reader(lines, batch_tokens=longest - 1)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"rank": 2, "world": 2}, "rank 2 does not exist among 2"),
        ({"world": 0}, "rank 0 does not exist among 0"),
        ({"seed": -1}, "seed is -1"),
        ({"split": "dev"}, "has no split 'dev': choose one of train, validation"),
    ],
)
def test_arguments_that_cannot_be(settings: dict, fault: str, folder: Path) -> None:
    with pytest.raises(ForgeError, match=fault):
        forge_gpu.open(folder).reader(**settings)


def test_states_that_cannot_be(folder: Path) -> None:
    share = reader(folder, 0, 2)
    states: tuple[dict[str, Any], ...] = (
        {},
        {"epoch": 0, "batch": -1, "given": 0},
        {"epoch": 0, "batch": 1.5, "given": 0},
    )
    for state in states:
        with pytest.raises(ConfigError, match="is not a state of a data set"):
            share.load_state_dict(state)
    share.load_state_dict({"epoch": 0, "batch": 0, "given": 3})
    with pytest.raises(ConfigError, match="state_after"):
        next(iter(share))


def test_a_folder_of_texts_is_refused(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "raw.jsonl", jobs.rows(20))
    jobs.run(jobs.plan(source), tmp_path / "out")
    with pytest.raises(InputError, match="its rows have the form text, and no tokens"):
        forge_gpu.open(tmp_path / "out")
    with pytest.raises(InputError, match="there is no such folder"):
        forge_gpu.open(tmp_path / "nowhere")
