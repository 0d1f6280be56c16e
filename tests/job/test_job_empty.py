"""Input without rows, and rows of which none is left: told, never silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_gpu.errors import InputError
from forge_gpu.job.events.events import Event, Warned
from forge_gpu.planner.plan import make_plan
from tests.job import jobs

EMPTY = {"zero.jsonl": "", "blank.jsonl": "\n \n\n", "none.json": "[]", "header.csv": "instruction,output\n"}
NO_ROWS = "no row goes to train: the input has no rows"


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize("name", EMPTY)
def test_prepare_warns_and_notes_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(EMPTY[name])
    events: list[Event] = []
    result = jobs.run(jobs.plan(tmp_path / name), tmp_path / "out", listener=events.append)
    assert result.counts["train"] == 0 and result.manifest["rows"] == 0
    assert warnings(events) == [f"{tmp_path / name}: has no rows", NO_ROWS]
    assert result.manifest["run"]["warnings"] == warnings(events)
    assert result.manifest["inputs"][0]["rows"] == 0


def test_one_file_of_several(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(50))
    (tmp_path / "zero.jsonl").write_text("")
    events: list[Event] = []
    config = jobs.plan(source, tmp_path / "zero.jsonl")
    jobs.run(config, tmp_path / "out", listener=events.append)
    assert warnings(events) == [f"{tmp_path / 'zero.jsonl'}: has no rows"]
    events.clear()
    jobs.run(config, tmp_path / "limited", listener=events.append, limit=10)
    assert not warnings(events)  # what lies past the limit was not read


def test_rows_of_which_none_is_left(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"instruction": "Q"}] * 3)
    events: list[Event] = []
    jobs.run(jobs.plan(source), tmp_path / "out", listener=events.append)
    assert warnings(events) == ["no row goes to train: 3 rejected"]


@pytest.mark.parametrize("name", EMPTY)
def test_plan_refuses_data_without_rows_and_passes_over_a_file_without(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(EMPTY[name])
    with pytest.raises(InputError, match=f"the data has no rows, so there is nothing to plan for: .*{name}"):
        make_plan(data=tmp_path / name, environ={})
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(5))
    plan = make_plan(data=[source, tmp_path / name], environ={})
    assert f"{tmp_path / name} has no rows: it is skipped" in plan.notes
