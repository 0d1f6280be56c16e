"""What a hostile script cannot do: nothing outside is read, written, reached, signalled or outlived."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.sandbox.contract import Script
from forge_gpu.sandbox.layers import Layers, SandboxError, describe
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import run
from tests.sandbox.attacks import Outside, attacks
from tests.sandbox.boxes import WALLS, layers, results, transformed

HOSTILE = (Path(__file__).parent / "hostile.py").read_text()
ALLOW_ALL = [[6, 0, 0, 0x7FFF0000]]
"""A filter of one step, for the tests alone."""
SECRET = "the secret of another"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """A world to attack; it must be the same afterwards."""
    folder = tmp_path_factory.mktemp("outside")
    os.chmod(folder, 0o777)
    secret = folder / "secret"
    secret.write_text(SECRET)
    os.chmod(secret, 0o666)
    victim = subprocess.Popen(["sleep", "600"])
    yield Outside(secret, folder, victim.pid)
    assert victim.poll() is None
    victim.kill()
    victim.wait()
    assert secret.read_text() == SECRET
    assert sorted(path.name for path in folder.iterdir()) == ["secret"]
    assert not os.path.exists("/dev/shm/forge-attack") and not os.path.exists("/tmp/forge-attack")


@pytest.fixture(scope="module", params=WALLS)
def outcomes(request: pytest.FixtureRequest, outside: Outside) -> dict[str, Any]:
    """What came of every attack behind one set of layers, in one process."""
    given = attacks(outside)
    rows = list(given.values())
    return dict(zip(given, transformed(HOSTILE, rows, request.param, Bounds(30.0)), strict=True))


def test_no_attack_gets_anything(outcomes: dict[str, Any]) -> None:
    assert len(outcomes) > 200
    assert {name: result for name, result in outcomes.items() if not isinstance(result, str)} == {}


def test_the_filter_answers_and_not_the_kernel_behind_it(outcomes: dict[str, Any]) -> None:
    calls = {name: result for name, result in outcomes.items() if name.startswith("call ")}
    assert {name: result for name, result in calls.items() if "[Errno 1]" not in result} == {}


@pytest.mark.parametrize("wall", ["landlock", "bubblewrap"])
def test_files_are_closed_by_each_wall_behind_the_filter_as_well(wall: str, outside: Outside) -> None:
    """With a filter that lets everything through, what the other wall alone holds."""
    here = layers(wall)
    assert here.filter is not None
    alone = replace(
        here, filter={**here.filter, "program": ALLOW_ALL}, landlock=here.landlock * (wall == "landlock")
    )
    given = attacks(outside)
    chosen = [name for name in given if name.startswith(("read_", "write ")) and "path" in given[name]]
    chosen = [name for name in chosen if not name.startswith(("stat_path", "access_path", "write /tmp"))]
    rows = [json.dumps(given[name]).encode() for name in chosen]
    with Sandbox(Script("script.py", HOSTILE), Bounds(30.0), alone) as sandbox:
        outcomes = dict(zip(chosen, results(run(sandbox, rows)), strict=True))
    assert len(outcomes) > 5
    assert {name: result for name, result in outcomes.items() if not isinstance(result, str)} == {}


def test_a_machine_without_a_filter_refuses_in_one_line() -> None:
    bare = Layers(None, 7, "/usr/bin/bwrap")
    box = Sandbox(Script("s", "def transform(row): return row"), layers=bare)
    with pytest.raises(SandboxError, match=r"a transform cannot run here: .* on Linux on x86_64"), box:
        pass
    assert describe(bare)[0] == "filter of system calls: none for this machine; transforms are refused"


def test_a_filter_that_the_kernel_refuses_ends_before_the_script() -> None:
    here = layers("filter")
    assert here.filter is not None
    broken = replace(here, filter={**here.filter, "program": [[0xFFFF, 0, 0, 0]]})
    box = Sandbox(Script("s", "def transform(row): return row"), layers=broken)
    with pytest.raises(SandboxError, match="the sandbox cannot be closed"), box:
        pass
