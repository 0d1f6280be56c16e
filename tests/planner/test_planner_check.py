"""Inputs that a plan was not made for."""

import gzip
import json

import pytest

from forge_gpu.errors import InputError
from forge_gpu.job.events.events import Warned
from forge_gpu.library import job_spec, prepare
from forge_gpu.planner.plan import make_plan

FLAT = {"question": "Q", "answer": "A"}


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_columns_of_a_converter_and_paths_are_looked_for_where_they_begin(tmp_path):
    talks = [{"data": {"talk": [{"human": "Q", "bot": f"A{number}"}]}} for number in range(4)]
    data = lines(tmp_path / "a.jsonl", *talks)
    plan = make_plan(data=data, template="chatml", environ={}).config
    assert plan.data.convert.columns["exchanges"] == "data.talk"
    assert not warnings(plan, lines(tmp_path / "b.jsonl", *talks))
    with pytest.raises(InputError, match=r"no column 'data\.talk'"):
        prepare(plan, data=lines(tmp_path / "c.jsonl", {"x": 1}), output=tmp_path / "out")


@pytest.fixture
def plan(tmp_path):
    data = lines(tmp_path / "a.jsonl", *[{**FLAT, "input": "I"}] * 5)
    return make_plan(data=data, template="chatml", environ={}, overrides=["data.mapping.input=input"]).config


def warnings(plan, *data):
    events = job_spec(plan, data, "out", (), None, False, False, None)[1]
    assert all(isinstance(event, Warned) for event in events)
    return [event.message for event in events if isinstance(event, Warned)]


def test_data_of_other_columns_is_refused_before_it_is_read(plan, tmp_path):
    other = lines(tmp_path / "b.jsonl", {"x": 1, "answers": "A"})
    reported = (
        r"b\.jsonl: the data has no column 'question'; it has 'x', 'answers': the plan is for other data; run"
    )
    with pytest.raises(InputError, match=reported):
        prepare(plan, data=other, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_file_of_other_columns_is_told(plan, tmp_path):
    good, bad = lines(tmp_path / "b.jsonl", FLAT), lines(tmp_path / "c.jsonl", {"question": "Q", "x": 1})
    assert warnings(plan, good, bad) == [
        f"{bad}: the data has no column 'answer'; it has 'question', 'x': its rows will be rejected"
    ]


def test_columns_that_a_row_can_do_without_are_not_asked_for(plan, tmp_path):
    assert warnings(plan, lines(tmp_path / "b.jsonl", FLAT)) == []


def test_what_cannot_be_looked_at_is_left_to_the_job(plan, tmp_path):
    (tmp_path / "zero.jsonl").write_text("")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(json.dumps(FLAT).encode() * 99)[:30])
    assert warnings(plan, tmp_path / "zero.jsonl", tmp_path / "cut.jsonl.gz", "-") == []
