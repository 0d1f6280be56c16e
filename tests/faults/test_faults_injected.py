"""A job that is killed, or whose disk fails, at any call: run again, it leaves what another does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.injector import DONE, KILLED, REFUSED, Injector, attack, started
from tests.faults.plans import NAMES, plans

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("cc") is None and "FORGE_REQUIRE_CC" not in os.environ, reason="needs a C compiler"
    ),
]


@pytest.fixture(scope="module")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    with started(tmp_path_factory.mktemp("shim")) as made:
        yield made


@pytest.fixture
def plan(tmp_path: Path) -> dict[str, Any]:
    return plans(tmp_path)["text"]


def test_the_shim_does_what_it_says(injector: Injector, plan: dict[str, Any], tmp_path: Path) -> None:
    whole = injector.run(plan, tmp_path / "whole")
    assert whole.end == DONE and whole.calls > 30
    assert injector.run(plan, tmp_path / "killed", "kill", 20).end == KILLED
    assert (tmp_path / "killed" / ".forge").is_dir() and not (tmp_path / "killed" / "manifest.json").exists()
    full = injector.run(plan, tmp_path / "full", "full", 20)
    assert full.end == REFUSED and "no space left" in full.message


def test_any_call_that_fails_is_one_line(injector: Injector, plan: dict[str, Any], tmp_path: Path) -> None:
    """Those of the start and of the end, where each call is another, and some between."""
    output = tmp_path / "out"
    injector.warm(plan, output)
    shutil.rmtree(output)
    calls = injector.run(plan, output).calls
    for number in (*range(16), *range(16, calls - 35, 8), *range(calls - 35, calls)):
        shutil.rmtree(output, ignore_errors=True)  # where the first call fails there is none
        run = injector.run(plan, output, "broken", number)
        assert run.end in (DONE, REFUSED) and "\n" not in run.message, (number, run)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_is_what_an_untroubled_job_leaves(injector: Injector, name: str, tmp_path: Path) -> None:
    tally = attack(injector, name, plans(tmp_path)[name], tmp_path, kills=3, faults=2, seed=1)
    assert tally.differences == []
    assert (tally.kills, tally.faults) == (3, 2)
