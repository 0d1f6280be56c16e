"""A stand-in for the engine, a source of rows, and an engine that is real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.container.real import RealEngine, open_real
from tests.container.stand_in import CHECKOUT, StandIn
from tests.job import jobs


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """`docker` and nothing else of that kind on PATH."""
    made = StandIn(tmp_path / "engine")
    made.install()
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("FORGE_STAND_IN", str(made.folder))
    monkeypatch.setattr("forge_gpu.container.run.BACKOFF", (0.01, 0.01, 0.01))
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(300, seed=5))


@pytest.fixture(scope="session")
def real_engine(tmp_path_factory: pytest.TempPathFactory) -> RealEngine:
    """A Docker engine. Without one the test is skipped, or fails where FORGE_REQUIRE_DOCKER says so."""
    opened = open_real(tmp_path_factory.mktemp("engine"))
    if opened is None:
        if os.environ.get("FORGE_REQUIRE_DOCKER") == "1":
            pytest.fail("no Docker engine answers, or it lacks the test image: use docker/with-engine.sh")
        pytest.skip("no Docker engine answers: docker/with-engine.sh starts one")
    return opened
