"""Threads that a plan chooses by what runs on this machine took."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_gpu.hardware.rates import Kind, Rates, write_rates
from forge_gpu.job.state.digests import kind_of
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.library import prepare
from forge_gpu.planner.describe import describe
from forge_gpu.planner.plan import Plan
from tests.planner.test_planner_plan import FLAT, lines, planned

KEY = "preprocessing.memory.threads"


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_RATES", str(tmp_path / "rates.json"))
    monkeypatch.setattr("forge_gpu.planner.threads.WORTH_MEASURING", 1)
    return lines(tmp_path / "a.jsonl", FLAT)


def plant(plan: Plan, seconds: dict[int, float], times: float = 1.0) -> None:
    """Rates of runs of this plan by threads. times: the bytes that they had of the plan's input."""
    spec, size = JobSpec(plan.config, Path(), Path()), times * (plan.data.bytes or 0)
    kinds = {
        kind_of(spec, plan.data.files, "cpu", threads): Kind(runs=1, bytes=size, stages={"index": spent})
        for threads, spent in seconds.items()
    }
    write_rates(Rates(kinds=kinds))


@pytest.mark.parametrize(
    ("seconds", "times", "chosen"),
    [
        ({}, 1, "auto"),
        ({1: 5.0}, 1, "auto"),
        ({1: 5.0, 2: 8.0}, 1, 1),
        ({1: 5.0, 2: 8.0}, 3, 1),
        ({1: 5.0, 2: 8.0}, 5, "auto"),
        ({1: 7.6, 2: 8.0}, 1, "auto"),
        ({1: 8.0, 2: 5.0}, 1, "auto"),
    ],
    ids=["nothing", "one alone", "fewer are faster", "of near size", "of another size", "by little", "more"],
)
def test_runs_of_this_kind_tell_how_many(data, seconds, times, chosen):
    plant(planned(data), seconds, times)
    plan = planned(data)
    assert plan.config.preprocessing.memory.threads == chosen
    assert plan.budget.threads == (2 if chosen == "auto" else chosen)
    assert (KEY in plan.reasons) == (chosen != "auto")


def test_the_reason_is_shown_and_what_the_user_sets_stays(data):
    plant(planned(data), {1: 5.0, 2: 8.0})
    (shown,) = [
        line for _, lines in describe(planned(data)) for line in lines if line.startswith("threads: 1 (")
    ]
    assert "5.0 s with 1, 8.0 s with 2" in shown
    assert planned(data, overrides=[f"{KEY}=2"]).config.preprocessing.memory.threads == 2


def test_rates_change_no_byte(data, tmp_path):
    first = prepare(planned(data).config, output=tmp_path / "one")
    plant(planned(data), {1: 5.0, 2: 8.0})
    plan = planned(data)
    assert plan.config.preprocessing.memory.threads == 1
    second = prepare(plan.config, output=tmp_path / "two")
    assert [file["sha256"] for file in first.manifest["outputs"]] == [
        file["sha256"] for file in second.manifest["outputs"]
    ]
