"""A checkpoint is taken up only by the job that it is of, and only where it is as it was written."""

from __future__ import annotations

import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson
import pytest

from forge_gpu.errors import OutputError
from forge_gpu.job.events.events import Event, Warned
from forge_gpu.job.state import decisions
from forge_gpu.job.state.checkpoint import JobKey
from tests.guards.planted import flip, stop_in, when
from tests.job import jobs

KEY = JobKey(
    [["rows.jsonl", 1, "a"]], "c", "t", 7, "1.0", [["asked.jsonl", 1, "b"]], {"transform": "d"}, "15.0"
)


@pytest.mark.parametrize("part", [field.name for field in fields(JobKey)])
def test_every_part_of_a_key_is_compared(part: str) -> None:
    stored: dict[str, Any] = orjson.loads(orjson.dumps(asdict(KEY)))
    assert KEY.difference(stored) is None
    assert KEY.difference(stored | {part: "another"})


@pytest.mark.parametrize(("before", "after"), [(100, 200), (200, 100), (None, 100), (100, None)])
def test_another_limit_starts_anew(
    before: int | None, after: int | None, source: Path, tmp_path: Path
) -> None:
    config = jobs.plan(source)
    stop_in(config, tmp_path / "out", "write", limit=before)
    events: list[Event] = []
    jobs.run(config, tmp_path / "out", listener=events.append, limit=after)
    messages = [event.message for event in events if isinstance(event, Warned)]
    assert messages == ["starting anew: --limit changed since the last run"]
    jobs.run(config, tmp_path / "whole", limit=after)
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_bit_of_an_index_that_flips_between_two_runs(at: int, source: Path, tmp_path: Path) -> None:
    config, output = jobs.plan(source), tmp_path / "out"
    jobs.run(config, tmp_path / "whole")
    stop_in(config, output, "write")
    first, *_ = sorted((output / ".forge/index").iterdir())
    whole = first.read_bytes()
    flip(first, at)
    shutil.rmtree(output / ".forge/decisions")  # what is decided again reads the index
    events: list[Event] = []
    jobs.run(config, output, listener=events.append)
    assert whole and jobs.content(output) == jobs.content(tmp_path / "whole")


def test_a_bit_of_an_index_that_flips_within_a_run(source: Path, tmp_path: Path) -> None:
    def damage() -> None:
        flip(min((tmp_path / "out/.forge/index").iterdir()))

    with pytest.raises(OutputError, match=r"\.index: is damaged .*start anew with --fresh"):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=when("decide", damage))


@pytest.mark.parametrize(("name", "behind"), [("decisions.json", b"rows_in_clusters"), ("fate.npy", b"\n")])
def test_a_bit_of_the_decisions_that_flips_between_two_runs(
    name: str, behind: bytes, source: Path, tmp_path: Path
) -> None:
    """What it says then is as well formed as what it said."""
    config, output = jobs.plan(source, preprocessing={"dedup": {"near": {}}}), tmp_path / "out"
    jobs.run(config, tmp_path / "whole")
    stop_in(config, output, "write")
    path = output / ".forge/decisions" / name
    data = path.read_bytes()
    at = data.index(behind) + len(behind)
    flip(
        path,
        next(at for at in range(at, len(data)) if name != "decisions.json" or data[at : at + 1].isdigit()),
    )
    jobs.run(config, output)
    assert jobs.content(output) == jobs.content(tmp_path / "whole")


def test_decisions_that_do_not_read_back(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = decisions.save

    def damaged(folder: Path, made: decisions.Decisions) -> None:
        real(folder, made)
        flip(folder / "fate.npy")

    monkeypatch.setattr(decisions, "save", damaged)
    with pytest.raises(OutputError, match="does not read back as it was written"):
        jobs.run(jobs.plan(source), tmp_path / "out")
