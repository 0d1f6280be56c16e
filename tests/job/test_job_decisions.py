"""Decisions on disk: whole, or known not to be and made again."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.errors import Interrupted
from forge_gpu.fates import Fate
from forge_gpu.job import prepare
from forge_gpu.job.decide.decide import decide
from forge_gpu.job.events.events import ChunkDone, Event
from forge_gpu.job.facts.matched import MATCHED
from forge_gpu.job.state import decisions
from tests.job import jobs


class StopWhileWriting:
    """Stops the second pass after its first range."""

    stops = False

    def __call__(self, event: Event) -> None:
        self.stops |= isinstance(event, ChunkDone) and event.stage == "write"

    def check(self) -> None:
        if self.stops:
            raise Interrupted(signal.SIGINT)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path: Path) -> None:
    """As a file whose size, but not its bytes, had reached the disk."""
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole output and one that was stopped while it was written."""
    folder = tmp_path_factory.mktemp("decisions")
    config = jobs.plan(jobs.write_lines(folder / "rows.jsonl", jobs.rows(400)), output={"order": "shuffled"})
    jobs.run(config, folder / "whole")
    stopper = StopWhileWriting()
    with pytest.raises(Interrupted):
        jobs.run(config, folder / "stopped", listener=stopper, check_stop=stopper.check)
    return folder


def test_what_is_decided_of_many_rows_is_mapped(stopped: Path, tmp_path: Path) -> None:
    """As their facts are: eight bytes a row are more than a budget, where rows are many."""
    config = jobs.plan(stopped / "rows.jsonl", output={"order": "shuffled"})
    ranges = sorted((stopped / "stopped/.forge/index").glob("*.index"))
    small, large = (decide(tmp_path / str(budget), ranges, config, budget) for budget in (1, 2**30))
    for name in ("fate", "duplicate_of"):
        mapped, held = getattr(small, name), getattr(large, name)
        assert isinstance(mapped, np.memmap) and not isinstance(held, np.memmap)
        assert mapped.tolist() == held.tolist()


def go_on(stopped: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Finish the stopped run in `output`; how often decisions were made."""
    made = []

    def counted(*arguments: Any) -> decisions.Decisions:
        made.append(1)
        return decide(*arguments)

    monkeypatch.setattr(prepare, "decide", counted)
    jobs.run(jobs.plan(stopped / "rows.jsonl", output={"order": "shuffled"}), output)
    return len(made)


def test_whole_decisions_are_taken_up(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(stopped / "stopped", tmp_path / "out")
    assert go_on(stopped, tmp_path / "out", monkeypatch) == 0
    assert jobs.content(tmp_path / "out") == jobs.content(stopped / "whole")


@pytest.mark.parametrize("damage", [halve, blank, flip, Path.unlink])
@pytest.mark.parametrize("name", ["decisions.json", "fate.npy", "duplicate_of.npy", "rank.npy"])
def test_torn_decisions_are_made_again(
    name: str,
    damage: Callable[[Path], None],
    stopped: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(stopped / "stopped", tmp_path / "out")
    damage(tmp_path / "out/.forge/decisions" / name)
    assert go_on(stopped, tmp_path / "out", monkeypatch) == 1
    assert jobs.content(tmp_path / "out") == jobs.content(stopped / "whole")


@pytest.mark.parametrize("rows", [0, 5, 300_000])
def test_what_is_saved_is_loaded(rows: int, tmp_path: Path) -> None:
    random = np.random.default_rng(rows)
    made = decisions.Decisions(
        fate=random.integers(0, len(Fate), rows).astype(np.uint8),
        duplicate_of=random.integers(-1, 9, rows),
        facts={"reason": np.zeros(rows, np.uint8), "matched": np.ones(rows, MATCHED.dtype)},
        sections={"groups": {"largest": rows}},
        warnings=("a line",),
    )
    for _ in range(2):  # the second in the place of the first
        decisions.save(tmp_path / "decisions", made)
        result = decisions.load(tmp_path / "decisions")
        assert result is not None
        assert (result.sections, result.warnings, result.rank) == (made.sections, made.warnings, None)
        assert np.array_equal(result.fate, made.fate)
        assert np.array_equal(result.duplicate_of, made.duplicate_of)
        assert result.facts.keys() == made.facts.keys()
        assert all(np.array_equal(result.facts[name], fact) for name, fact in made.facts.items())
    assert decisions.load(tmp_path / "none") is None
